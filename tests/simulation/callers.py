"""Who uses the program: callers that submit, cancel, wait and leave."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from random import Random
from typing import Final, NamedTuple, Protocol

import msgspec
import trio

from pexecutor import (
    Accepted,
    AlreadyFinishedError,
    Duplicate,
    Executor,
    ExpiredTaskError,
    Finished,
    PageRequest,
    StoreUnavailableError,
    Task,
    UnknownTaskError,
    Verdict,
)
from pexecutor.conformance.steps import cancelled_at_step
from pexecutor.stores.answers import Answer, to_number
from pexecutor.task import format_task_id
from pexecutor.web.api.events import content

from .ledger import demand, demand_readable
from .requests import Requests

NAMES: Final = "abcdefgh"
UNANSWERED: Final = (ExpiredTaskError, UnknownTaskError, StoreUnavailableError)
"""Why nothing is said about a task."""


class Pace(NamedTuple):
    """How long things take.

    Parameters:
        delays_ms: of tasks.
        retry_delays_ms: of tasks.
        pauses_seconds: between two steps of a caller.
        waits_seconds: how long he waits for an outcome.
    """

    delays_ms: Sequence[int]
    retry_delays_ms: Sequence[int]
    pauses_seconds: Sequence[float]
    waits_seconds: Sequence[float]


LEISURELY: Final = Pace(
    [0, 0, 0, 0, 500, 5000, 600_000], [0, 100, 2000, 60_000], [0, 0.01, 0.3, 2, 60, 900], [0.5, 10, 600]
)
BRISK: Final = Pace([0, 0, 0, 0, 500, 5000], [0, 100, 2000], [0, 0.01, 0.3, 2, 8], [0.5, 5, 20])


class Accounts(Protocol):
    """Who is told what callers are told."""

    accepted: set[int]

    def tell_accepted(self, serial: int) -> None:
        """A task is accepted."""

    def tell_refused(self, marks: Iterable[int]) -> None:
        """Tasks with these marks were not taken, or it is not known."""

    def tell_outcome(self, record: Finished) -> None:
        """An outcome could be read."""


class Program(Protocol):
    """What is used."""

    dead: bool
    executor: Executor

    @property
    def ledger(self) -> Accounts:
        """Who keeps accounts."""

    def look(self) -> None:
        """See that everything is as it has to be, now."""


class Callers:
    """What happens in one life.

    Parameters:
        process: the program.
        chance: decides it all.
        say: writes the trace.
        next_mark: draws a mark that tells each submitted task from all others.
        requests: the requests with a key.
        pace: how long things take.
    """

    def __init__(
        self,
        process: Program,
        chance: Random,
        say: Callable[[str, str], None],
        next_mark: Callable[[], int],
        *,
        requests: Requests,
        pace: Pace = LEISURELY,
    ) -> None:
        self._pace = pace
        self._requests = requests
        self._process = process
        self._chance = chance
        self._say = say
        self._next_mark = next_mark

    async def call(self, who: str, steps: int) -> None:
        """One caller: some steps, and after each the invariants."""
        actions = [self._submit] * 5 + [self._cancel, self._wait, self._pause, self._list, self._follow]
        if self._requests.are_made:
            actions += [self._request] * 6
        for _ in range(steps):
            action = self._chance.choice(actions)
            if self._chance.random() < 0.2:
                await self._leave_in(who, action)
            else:
                await action(who)
            if self._process.dead:
                return
            self._process.look()

    async def _leave_in(self, who: str, action: Callable[[str], Awaitable[None]]) -> None:
        """Do something and be gone at one of its awaits, or after a while."""
        if self._chance.random() < 0.5:
            if await cancelled_at_step(self._chance.randint(1, 12), lambda: action(who)):
                self._say(who, "has left")
        else:
            with trio.move_on_after(self._chance.choice([0.001, 0.1, 4.0])) as scope:
                await action(who)
            if scope.cancelled_caught:
                self._say(who, "has left after a while")

    def task(self) -> Task:
        chance = self._chance
        return Task(
            chance.choice(NAMES),
            params={"mark": self._next_mark()},
            priority=chance.randint(-1, 1),
            delay=chance.choice(self._pace.delays_ms),
            timeout=chance.choice([None, None, 200]),
            retries=chance.choice([0, 0, 1, 3]),
            retry_delay=chance.choice(self._pace.retry_delays_ms),
            on_conflict=chance.choice(["reject", "reject", "join", "latest", "supersede"]),
            on_crash=chance.choice(["rerun", "fail"]),
            keep=chance.choice([None, None, None, 0, 60_000]),
        )

    async def _submit(self, who: str) -> None:
        chance, process = self._chance, self._process
        tasks = [self.task() for _ in range(chance.choice([1, 1, 2, 4]))]
        marks = [task.params["mark"] for task in tasks]
        atomic, seconds = chance.random() < 0.2, chance.choice([0, 0, 0, 1, 10])
        how = ("all of " if atomic else "") + ", ".join(f"{task.name}{task.params['mark']}" for task in tasks)
        self._say(who, f"submits {how}")
        try:
            verdicts = await process.executor.submit(tasks, atomic=atomic, wait_for_room_seconds=seconds)
        except StoreUnavailableError as error:
            if not process.dead:
                self._say(who, f"is told of {how}: {error}")
                process.ledger.tell_refused(marks)
            return
        if not process.dead:
            self._tell(who, tasks, verdicts, atomic=atomic)

    async def _request(self, who: str) -> None:
        """Submit with a key, which may have been used before."""
        chance, process, requests = self._chance, self._process, self._requests
        tasks = [self.task() for _ in range(chance.choice([1, 1, 2]))]
        marks = [task.params["mark"] for task in tasks]
        key, atomic = requests.draw(chance), chance.random() < 0.2
        begun_at = requests.begin(key, marks)
        named = ", ".join(f"{task.name}{task.params['mark']}" for task in tasks)
        self._say(who, f"requests {key.kind} {key.key}: {named}")
        try:
            reply = await process.executor.requests.submit(key, b"", tasks, atomic=atomic)
        except StoreUnavailableError as error:
            if not process.dead:
                self._say(who, f"is told of {key.kind} {key.key}: {error}")
                process.ledger.tell_refused(marks)
            return
        if process.dead:
            return
        if isinstance(reply, Answer):
            self._say(who, f"is told of {key.kind} {key.key}: remembered")
            requests.tell_answer(key, reply)
            process.ledger.tell_refused(marks)
        else:
            self._tell(who, tasks, reply, atomic=atomic)
            if any(isinstance(verdict, Accepted) for verdict in reply):
                requests.tell_accepted(key, begun_at, list(map(to_number, reply)))

    def _tell(self, who: str, tasks: Sequence[Task], verdicts: Sequence[Verdict], *, atomic: bool) -> None:
        process = self._process
        demand(len(verdicts) == len(tasks), "each task has its verdict", verdicts)
        words = {verdict.verdict for verdict in verdicts}
        demand(not (atomic and words >= {"accepted", "full"}), "all that can be taken is taken, or none", verdicts)
        for task, verdict in zip(tasks, verdicts, strict=True):
            mark = task.params["mark"]
            if isinstance(verdict, Accepted):
                self._say(who, f"is told of {task.name}{mark}: accepted, {verdict.record.id}")
                process.ledger.tell_accepted(verdict.record.serial)
            else:
                self._say(who, f"is told of {task.name}{mark}: {verdict.verdict}")
                himself = isinstance(verdict, Duplicate) and verdict.holder.task.params["mark"] == mark
                demand(not himself, "nobody is a duplicate of himself", verdict)
                process.ledger.tell_refused([mark])

    def _one_of_the_accepted(self) -> str | None:
        accepted = sorted(self._process.ledger.accepted)
        return format_task_id(self._chance.choice(accepted[-20:])) if accepted else None

    async def _cancel(self, who: str) -> None:
        if (task_id := self._one_of_the_accepted()) is None:
            return
        self._say(who, f"cancels {task_id}")
        try:
            record = await self._process.executor.cancel(task_id)
        except (AlreadyFinishedError, *UNANSWERED) as error:
            if not self._process.dead:
                self._say(who, f"is told: {error}")
            return
        if isinstance(record, Finished) and not self._process.dead:
            self._process.ledger.tell_outcome(record)

    async def _wait(self, who: str) -> None:
        if (task_id := self._one_of_the_accepted()) is None:
            return
        try:
            record = await self._process.executor.wait(
                task_id, seconds_max=self._chance.choice(self._pace.waits_seconds)
            )
        except UNANSWERED:
            return
        if isinstance(record, Finished) and not self._process.dead:
            self._say(who, f"is told that {task_id} has {record.outcome}")
            self._process.ledger.tell_outcome(record)

    async def _pause(self, who: str) -> None:
        await trio.sleep(self._chance.choice(self._pace.pauses_seconds))

    async def _list(self, who: str) -> None:
        try:
            page = await self._process.executor.page(PageRequest(limit=self._chance.choice([3, 1000])))
        except StoreUnavailableError:
            return
        for record in page.records:
            demand_readable(record, self._process.executor.context(record))
            if isinstance(record, Finished) and not self._process.dead:
                self._process.ledger.tell_outcome(record)

    async def _follow(self, who: str) -> None:
        """Read the events for a while; each can be shown."""
        seconds = self._chance.choice([0.1, 1, 3])
        self._say(who, f"reads the events for {seconds} s")
        events = self._process.executor.events
        with trio.move_on_after(seconds), events.reading() as reader, suppress(trio.EndOfChannel):
            while not self._process.dead:
                for event in await reader.receive(100):
                    msgspec.json.decode(content(event.what)[1])
