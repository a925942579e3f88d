"""Who uses the program: callers that submit, cancel, wait and leave; what handlers do; and trouble with the disk."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random
from typing import Final

import trio

from pexecutor import (
    Accepted,
    AlreadyFinishedError,
    ExpiredTaskError,
    Finished,
    PageRequest,
    StoreUnavailableError,
    Task,
)
from pexecutor.conformance.steps import cancelled_at_step
from pexecutor.handlers import Context, HandlerFailedError
from pexecutor.task import format_task_id

from .disk import Failure
from .ledger import demand
from .process import Process

NAMES: Final = "abcdefgh"


class Callers:
    """What happens in one life.

    Parameters:
        process: the program.
        chance: decides it all.
        say: writes the trace.
        next_mark: draws a mark that tells each submitted task from all others.
    """

    def __init__(
        self, process: Process, chance: Random, say: Callable[[str, str], None], next_mark: Callable[[], int]
    ) -> None:
        self._process = process
        self._chance = chance
        self._say = say
        self._next_mark = next_mark

    async def call(self, who: str, steps: int) -> None:
        """One caller: some steps, and after each the invariants."""
        actions = [self._submit] * 5 + [self._cancel, self._wait, self._pause, self._list]
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
            delay=chance.choice([0, 0, 0, 0, 500, 5000, 600_000]),
            timeout=chance.choice([None, None, 200]),
            retries=chance.choice([0, 0, 1, 3]),
            retry_delay=chance.choice([0, 100, 2000, 60_000]),
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
        if process.dead:
            return
        demand(len(verdicts) == len(tasks), "each task has its verdict", verdicts)
        words = {verdict.verdict for verdict in verdicts}
        demand(not (atomic and words >= {"accepted", "full"}), "all that can be taken is taken, or none", verdicts)
        for mark, task, verdict in zip(marks, tasks, verdicts, strict=True):
            if isinstance(verdict, Accepted):
                self._say(who, f"is told of {task.name}{mark}: accepted, {verdict.record.id}")
                process.ledger.tell_accepted(verdict.record.serial)
            else:
                self._say(who, f"is told of {task.name}{mark}: {verdict.verdict}")
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
        except (AlreadyFinishedError, ExpiredTaskError, StoreUnavailableError) as error:
            if not self._process.dead:
                self._say(who, f"is told: {error}")
            return
        if isinstance(record, Finished) and not self._process.dead:
            self._process.ledger.tell_outcome(record)

    async def _wait(self, who: str) -> None:
        if (task_id := self._one_of_the_accepted()) is None:
            return
        try:
            record = await self._process.executor.wait(task_id, seconds_max=self._chance.choice([0.5, 10, 600]))
        except ExpiredTaskError:
            return
        if isinstance(record, Finished) and not self._process.dead:
            self._say(who, f"is told that {task_id} has {record.outcome}")
            self._process.ledger.tell_outcome(record)

    async def _pause(self, who: str) -> None:
        await trio.sleep(self._chance.choice([0, 0.01, 0.3, 2, 60, 900]))

    async def _list(self, who: str) -> None:
        page = await self._process.executor.page(PageRequest(limit=self._chance.choice([3, 1000])))
        for record in page.records:
            if isinstance(record, Finished) and not self._process.dead:
                self._process.ledger.tell_outcome(record)

    async def trouble(self) -> None:
        """From time to time the disk fails, for some operations or for a while, hangs, or takes all down with it."""
        chance, disk = self._chance, self._process.disk
        while True:
            await trio.sleep(chance.expovariate(1 / 5))
            kind = chance.choice(["full", "failing", "failing", "hanging"])
            if kind == "hanging":
                self._process.hang_seconds = chance.choice([1, 7, 12])
            else:
                failure: Failure = "full" if kind == "full" else "failing"
                after = chance.randrange(30)
                disk.fail(failure, after=after, operations=chance.choice([1, 2, 6, 30]))
                if chance.random() < 0.2:
                    disk.crash_at(disk.operations + after + chance.randint(1, 8))
            self._say("disk", f"will be {kind}")
            await trio.sleep(chance.choice([0.5, 5, 60, 600]))
            disk.mend()


async def work(
    process: Process, context: Context, task: Task, *, chance: Random, say: Callable[[str, str], None]
) -> int:
    """One attempt of a task."""
    what = f"{context.id} {task.name}{task.params['mark']}, attempt {context.attempt}"
    if process.dead:
        await trio.sleep_forever()
    say("handler", f"begins {what}")
    process.ledger.tell_run(context.id)
    demand(task.name not in process.at_work, "no name is at work twice", what)
    process.at_work.add(task.name)
    try:
        await trio.sleep(chance.choice([0, 0, 0.01, 0.5, 3, 60]))
        match chance.randrange(10):
            case 0 | 1:
                raise LookupError("by chance")
            case 2:
                raise HandlerFailedError("for good", retryable=False)
            case 3:
                await _overrun(chance)
        return context.attempt
    finally:
        process.at_work.discard(task.name)
        if not process.dead:
            say("handler", f"ends {what}")


async def _overrun(chance: Random) -> None:
    """Go on for a while, whatever one is told."""
    with trio.CancelScope(shield=True):
        await trio.sleep(chance.choice([0.3, 2]))
