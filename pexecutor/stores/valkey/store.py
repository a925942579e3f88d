"""``ValkeyStore``: the tasks of many nodes, in one queue on a Valkey or Redis server.

Each verb is one call of a function on the server (``functions/``), where it is one step for everybody: nothing is
decided here. What is here is what one node has to do with it: say which tasks it holds, wait without asking again and
again, and tell of what has changed through it.

Waiting goes by the server's messages: 'work', 'room', 'ended', 'cancel'. A message can be lost with its connection, so
whoever waits looks again after each reconnect, and once a beat.

``statistics`` is of the last reply; the beat brings one a second. Each node counts the endings that it records.
"""

from __future__ import annotations

import math
import random
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Any, Final, Literal

import msgspec
import trio

from ...errors import (
    AlreadyFinishedError,
    AlreadyStartedError,
    ExpiredTaskError,
    StoreUnavailableError,
    UnknownTaskError,
    UnusableStoreError,
)
from ...observe.histogram import COMMIT_SECONDS, Histogram
from ...task import (
    TAG_BITS,
    Ending,
    Finished,
    Following,
    Pending,
    Record,
    Running,
    Scheduled,
    State,
    Task,
    Verdict,
    make_serial,
    parse_task_id,
)
from .. import Node, Page, PageRequest, StoreStatistics, Watcher
from ..local.crashes import CRASHES_MAX
from ..local.listing import format_cursor, parse_cursor
from ..moves.marks import check_not_sealed
from .calls import CALL_SECONDS_MAX, Calls, Link
from .damage import Damage
from .endings import ending_arguments
from .lease import NO_CLAIM, Holdings, Lease
from .messages import Messages
from .replies import number_of, settled_as, verdicts_of
from .server_checks import SETTINGS, Durability, report_doubts
from .upgrade import check_layout, upgrade
from .wire import Beat, Found, NodeRow, PageReply, Row, to_arguments, to_mark, to_node

LINGERING: Final = True
"""Asks for a record also when it is there only for those who waited for it."""

CLAIMED_AT_ONCE_MAX: Final = 250
"""How many tasks a claim starts at most: the first ones run here while the server starts the next ones."""

LOOK_AGAIN_SECONDS: Final = 1.0
"""How long to go by the messages alone."""


class ValkeyStore:
    """One node's side of a shared store; its promises are the contract's (see ``pexecutor.stores``).

    Parameters:
        link: the way to the server and the queue.
        node: this node's name; no other has it, and it is a new one with each start.
        queue_size: how many tasks may wait, on all nodes together.
        history_records_max: how many finished tasks can be read.
        history_seconds_max: for how long after its end one can be read.
        history_bytes_max: how many bytes of endings are kept in all.
        durability: how far a task is kept before it is answered; the link sees to it, here it is said.
        on_doubt: told what the server's own settings leave to be desired.
        on_damage: told of each entry of the queue that cannot be used, and was set aside or repaired.
        on_lease_lost: told how many tasks are cut off here, because no beat got through in time.
        crashes_max: how many starts of a task may be cut off by the loss of its node; then it is abandoned.
        lease_seconds: after how long without a beat a node is taken for dead.
        jitter: what retries draw their delays from.
        clock: this node's clock, in seconds; only lengths of time are taken from it.
        sleep: waits so many seconds of that clock.
    """

    def __init__(
        self,
        link: Link,
        *,
        node: str,
        queue_size: int = 1000,
        history_records_max: int = 10_000,
        history_seconds_max: float = 7 * 24 * 60 * 60.0,
        history_bytes_max: int = 128 * 1024 * 1024,
        durability: Durability = "aof",
        on_doubt: Callable[[str], None] = lambda _: None,
        on_damage: Callable[[str], None] = lambda _: None,
        on_lease_lost: Callable[[int], None] = lambda _: None,
        crashes_max: int = CRASHES_MAX,
        lease_seconds: float = 15.0,
        jitter: random.Random | None = None,
        clock: Callable[[], float] = trio.current_time,
        sleep: Callable[[float], Awaitable[None]] = trio.sleep,
    ) -> None:
        if queue_size < 1:
            raise ValueError("queue_size must be at least 1")
        self.queue_size = queue_size
        self.commits: Histogram = Histogram(COMMIT_SECONDS)
        self._link = link
        self._node = node
        self._bounds = (history_records_max, history_bytes_max, crashes_max)
        self._keep_seconds_max = history_seconds_max
        self._durability: Durability = durability
        self._on_doubt = on_doubt
        self._lease_seconds = lease_seconds
        self._jitter = random.Random() if jitter is None else jitter
        self._must_join = True
        self._beats = count(1)
        self._claims = count(1)
        self._holdings = Holdings()
        self._claiming = trio.Lock()  # so that no two calls have the id of one claim
        self._turn = trio.Lock()  # who is next to find room
        self._damage = Damage(on_damage)
        self._calls = Calls(
            link, node, work_is_there=self._work_is_there, other_queue=self._lose_queue, damage=self._damage
        )
        self._messages = Messages(node, cancelled=self._calls.tell_cancelled, missed=self._missed_some)
        self._lease = Lease(
            lease_seconds,
            self._holdings,
            beat=self._beat,
            lost=self._calls.tell_lost,
            cancelled=self._calls.tell_cancelled,
            given_up=on_lease_lost,
            clock=clock,
            sleep=sleep,
        )

    def watch(self, watcher: Watcher) -> None:
        """Have this told of each change that is made through this node, and of what its work has to hear."""
        self._calls.watcher = watcher

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Be one of the queue's nodes.

        Raises:
            UnusableStoreError: there is no such server, or its queue is of another program's making.
        """
        async with self._link.opened(self._messages.hear):
            check_not_sealed([to_mark(row) for row in await self._calls.call("marks")], "this queue")
            await self._join()
            report_doubts(await self._link.settings(*SETTINGS), self._durability, self._on_doubt)
            await self._check_durability()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._lease.keep)  # nothing is claimed before its first beat
                nursery.start_soon(self._damage.keep_mending, self._calls.call)
                try:
                    yield
                finally:
                    nursery.cancel_scope.cancel()
                    with trio.move_on_after(CALL_SECONDS_MAX, shield=True), suppress(StoreUnavailableError):
                        await self._calls.call("leave", self._node, self._holdings.claim)

    async def _join(self, *, to_end_seconds: float = 0) -> None:
        await upgrade(self._calls.call)
        layout, self._calls.tag = await self._calls.call("join", secrets.randbits(TAG_BITS), to_end_seconds)
        check_layout(layout)
        self._must_join = False

    def _lose_queue(self) -> None:
        """Cut off all that is held: it is in another queue, and there is nowhere to settle it."""
        if not self._must_join:
            self._must_join = True
            self._holdings.settling.clear()
            self._lease.give_up()

    async def _check_durability(self) -> None:
        try:
            await self._link.flush()
        except StoreUnavailableError as error:
            raise UnusableStoreError(f"what is submitted cannot be kept as was asked: {error}") from error

    # The lease

    def _missed_some(self) -> None:
        self._lease.compare_soon()

    def _work_is_there(self) -> None:
        self._messages.work.unpark_all()

    async def _beat(self, holdings: list[object] | Literal[False]) -> Beat:
        about = msgspec.json.encode(self._calls.watcher.describe()).decode()
        if self._must_join:
            await self._join(to_end_seconds=self._lease.to_end_seconds)
        arguments = (self._node, next(self._beats), self._lease_seconds, about, holdings, *self._bounds)
        beat: Beat = await self._calls.call("beat", *arguments)
        if not beat.lost:
            self._messages.room.unpark_all()
        return beat

    async def nodes(self) -> list[Node]:
        """Who runs the tasks of this queue."""
        rows: list[NodeRow] = await self._calls.call("nodes")
        return [to_node(row) for row in rows]

    # Submit

    async def submit(self, tasks: Sequence[Task], *, atomic: bool = False) -> list[Verdict]:
        """Give each task its verdict."""
        asked_at = trio.current_time()
        arguments = [to_arguments(task, self._keep_seconds_max) for task in tasks]
        reply = await self._calls.ask("submit", self._calls.new_id(), arguments, atomic, self.queue_size)
        verdicts, taken = verdicts_of(tasks, reply, self._calls.tag, self._calls.read)
        self._calls.tell_all(reply.changes, taken)
        await self._link.flush()
        self.commits.observe(trio.current_time() - asked_at)
        return verdicts

    async def wait_for_room(self, least: int, most: int) -> int:
        """Wait until ``least`` places are likely free; how many there are, at most ``most``."""
        if least > self.queue_size:
            return 0
        async with self._turn:
            while True:
                free: int = await self._calls.call("seek", least, self.queue_size)
                if free >= least:
                    return min(free, most)
                with trio.move_on_after(LOOK_AGAIN_SECONDS):
                    await self._messages.room.park()

    # Claim, finish, release, cancel

    async def claim(self, limit: int) -> list[Running]:
        """Wait for work, then start at most ``limit`` tasks, in start order."""
        while True:
            term = await self._lease.good()
            async with self._claiming:
                started = await self._claim(limit, term) if self._lease.is_good(term) else []
            if started:
                return started
            if self._lease.is_good(term):
                await self._work_to_come()

    async def _claim(self, limit: int, term: int) -> list[Running]:
        """Claim once; when there was no answer, or one that came too late, the same claim is made again next time."""
        if self._holdings.claim == NO_CLAIM:
            self._holdings.claim = next(self._claims)
        rows: list[Row] = await self._calls.call(
            "claim", self._node, self._holdings.claim, min(limit, CLAIMED_AT_ONCE_MAX)
        )
        if not self._lease.is_good(term):
            return []
        self._holdings.claim = NO_CLAIM
        started: list[Running] = []
        for row in rows:
            record = self._calls.read(row)
            assert isinstance(record, Running), "what was claimed runs"
            if self._damage.is_lost(row.number):
                continue  # nobody knows what it was to do; it is repaired, and has failed then
            self._holdings.tokens[row.number] = row.token
            started.append(record)
        self._calls.tell(started)
        return started

    def submit_nowait(self, tasks: Sequence[Task]) -> list[Verdict] | None:  # noqa: ARG002  # as in the contract
        """Nothing: the server is always waited for."""
        return None

    def claim_nowait(self, limit: int) -> list[Running]:  # noqa: ARG002  # as in the contract
        """Nothing: the server is always waited for."""
        return []

    async def _work_to_come(self) -> None:
        """Return when another claim may find something."""
        await trio.lowlevel.checkpoint()
        due = self._calls.counts.next_due_seconds
        with trio.move_on_after(due if due >= 0 else math.inf):
            await self._messages.work.park()

    async def finish(self, ended: Sequence[tuple[Running, Ending]]) -> list[Finished | Scheduled | None]:
        """Record how attempts ended: each task's outcome, or when it is tried again; ``None`` for one that is lost."""
        if not ended:
            await trio.lowlevel.checkpoint()
            return []
        asked_at = trio.current_time()
        held = [(number_of(running), running.token) for running, _ in ended]
        arguments = [
            (*one, *ending_arguments(*attempt, self._jitter)) for one, attempt in zip(held, ended, strict=True)
        ]
        self._holdings.settling.update(held)
        reply = await self._calls.ask("finish", self._node, *zip(*arguments, strict=True))
        self.commits.observe(trio.current_time() - asked_at)
        self._holdings.settled(held)
        settled = [settled_as(*one, answer, reply.at) for one, answer in zip(ended, reply.result, strict=True)]
        self._calls.tell_all(reply.changes, {number_of(record): record for record in settled if record is not None})
        return settled

    def finish_nowait(self, ended: Sequence[tuple[Running, Ending]]) -> None:
        """Not so: the server is always waited for."""

    async def release(self, tasks: Sequence[Running]) -> None:
        """Make running tasks pending again, at their old place in the order."""
        held = [(number_of(running), running.token) for running in tasks]
        self._holdings.settling.update(held)
        await self._calls.call("release", self._node, held)
        self._holdings.settled(held)

    async def cancel(self, task_id: str) -> Running | Finished:
        """End a task that waits; return a running one as it is: it is told, on whichever node it runs."""
        record, state = await self._found(task_id, "cancel", self._calls.new_id())
        if state == "finished":
            raise AlreadyFinishedError(task_id)
        assert isinstance(record, Running | Finished), "what waited has ended"
        return record

    async def set_priority(self, task_id: str, priority: int) -> Scheduled | Following | Pending:
        """Give a task that waits another place in the start order."""
        record, _ = await self._found(task_id, "set_priority", priority)
        if isinstance(record, Finished):
            raise AlreadyFinishedError(task_id)
        if isinstance(record, Running):
            raise AlreadyStartedError(task_id)
        return record

    # Read

    async def _found(self, task_id: str, verb: str, *arguments: Any) -> tuple[Record, str]:
        """What a verb has made of one task, and the state in which it found it."""
        serial = parse_task_id(task_id)
        number = 0 if serial is None else serial - make_serial(self._calls.tag, 0)
        if not 0 < number < make_serial(1, 0):
            await trio.lowlevel.checkpoint()
            raise UnknownTaskError(task_id)
        found: Found = await self._calls.call(verb, number, *arguments)
        if isinstance(found.row, Row):
            assert isinstance(found.state_or_acceptances, str)
            return self._calls.read(found.row), found.state_or_acceptances
        if number > int(found.state_or_acceptances):
            raise UnknownTaskError(task_id)
        raise ExpiredTaskError(task_id)

    async def get(self, task_id: str) -> Record:
        """The record with this id."""
        record, _ = await self._found(task_id, "get", not LINGERING)
        return record

    async def wait(self, task_id: str) -> Finished:
        """Wait for a task's outcome."""
        record = await self.get(task_id)
        with self._messages.ends_of(number_of(record)) as lot:
            while not isinstance(record, Finished):
                record, _ = await self._found(task_id, "get", LINGERING)
                if not isinstance(record, Finished):
                    await lot.park()
        return record

    async def page(self, request: PageRequest) -> Page:
        """Some records in listing order."""
        state = "" if request.state is None else request.state.value
        states = list(State) if request.state is None else [request.state]
        first, place = (None, (0, 0)) if request.cursor is None else parse_cursor(states, request.cursor)
        reply: PageReply = await self._calls.call("page", state, request.name or "", request.limit, first or "", *place)
        records = [self._calls.read(row) for row in reply.rows]
        return Page(records, None if isinstance(reply.last, bool) else format_cursor(reply.last[0], reply.last[1:]))

    def statistics(self) -> StoreStatistics:
        """A snapshot for observers."""
        return StoreStatistics(
            queue_size=self.queue_size,
            pending=self._calls.counts.pending,
            scheduled=self._calls.counts.later,
            running=self._calls.counts.running,
            history=self._calls.counts.history,
            finished=dict(sum(self._calls.finished.values(), Counter())),
            finished_by_handler={handler: dict(counts) for handler, counts in self._calls.finished.items()},
            durable=self._durability != "none",
            trouble=self._link.trouble,
            damaged=self._calls.counts.damaged,
        )
