"""``LocalStore``: tasks in the memory of one process.

Each verb that changes a named task has the same four steps: take the name's lock, decide without awaiting, make the
decision durable, put it in the book in one go. What durable means comes in by the constructor: ``commit`` is awaited
with the changes before anybody can see them. By default there is nothing to write to, and tasks live as long as the
process.
"""

from __future__ import annotations

import math
import random
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from typing import Final

import msgspec
import trio

from ..errors import (
    AlreadyFinishedError,
    AlreadyStartedError,
    ExpiredTaskError,
    StoreUnavailableError,
    UnknownTaskError,
)
from ..task import (
    Ending,
    Finished,
    Following,
    InFlight,
    Outcome,
    Pending,
    Record,
    Running,
    Scheduled,
    Task,
    Verdict,
    make_serial,
    parse_task_id,
)
from . import Page, PageRequest, StoreStatistics
from .book import Book
from .listing import list_page
from .retry import retry_at
from .room import Room
from .submission import Submission, attempts, begin, end

COMMIT_SECONDS_MAX: Final = 10.0
"""How long a verb waits for its changes to be durable before it gives up; the shield's bound."""

CLOCK_CHECK_SECONDS: Final = 60.0
"""How long at most to sleep towards a time of the wall clock, which may be set meanwhile."""

HISTORY_RECORDS_MAX: Final = 10_000
HISTORY_SECONDS_MAX: Final = 7 * 24 * 60 * 60.0
HISTORY_BYTES_MAX: Final = 128 * 1024 * 1024

Commit = Callable[[Sequence[Record]], Awaitable[None]]
"""Makes the new state of some records durable, all of them or none.

Raises ``StoreUnavailableError`` when it cannot; a commit that is cancelled has written nothing.
"""


async def keep_in_memory_only(changes: Sequence[Record]) -> None:
    """The commit of a store that outlives nothing."""


class LocalStore:
    """A store in memory; its promises are the contract's (see ``pexecutor.stores``).

    Parameters:
        queue_size: how many tasks may wait.
        history_records_max: how many finished tasks can be read.
        history_seconds_max: for how long after its end one can be read.
        history_bytes_max: how many bytes of results and output are kept in all.
        commit: what makes a change durable.
        now: the wall clock, in seconds since 1970.
        jitter: what retries draw their delays from.
        tag: 24 bits that tell this store's ids from any other's; drawn at random by default.
    """

    def __init__(
        self,
        *,
        queue_size: int = 1000,
        history_records_max: int = HISTORY_RECORDS_MAX,
        history_seconds_max: float = HISTORY_SECONDS_MAX,
        history_bytes_max: int = HISTORY_BYTES_MAX,
        commit: Commit = keep_in_memory_only,
        now: Callable[[], float] = time.time,
        jitter: random.Random | None = None,
        tag: int | None = None,
    ) -> None:
        if queue_size < 1:
            raise ValueError("queue_size must be at least 1")
        self.queue_size = queue_size
        self._commit = commit
        self._durable = commit is not keep_in_memory_only
        self._now = now
        self._jitter = random.Random() if jitter is None else jitter
        self._tag = secrets.randbits(24) if tag is None else tag
        self._acceptances = 0
        self._book = Book(
            history_records_max=history_records_max,
            history_seconds_max=history_seconds_max,
            history_bytes_max=history_bytes_max,
        )
        self._arrivals = trio.lowlevel.ParkingLot()
        self._room = Room(queue_size, self._book.waiting)

    def watch(self, changed: Callable[[Record], None]) -> None:
        """Have this told of each change from now on."""
        self._book.changed = changed

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Nothing to open, nothing to flush."""
        yield

    # Submit

    async def submit(self, tasks: Sequence[Task], *, atomic: bool = False) -> list[Verdict]:
        """Give each task its verdict."""
        try:
            async with self._book.registry.locked([task.name for task in tasks]):
                submission = self._decide(tasks, atomic=atomic)
                with self._room.reserved(max(0, submission.places)):
                    await self._make_durable(submission.changes)
                self._publish(submission.changes)
                return submission.verdicts
        finally:
            self._room.offer()

    def _decide(self, tasks: Sequence[Task], *, atomic: bool) -> Submission:
        now = self._now()
        self._book.advance(now)
        submission = Submission(self._book, room=self._room.free(), now=now, next_serial=self._next_serial)
        submission.decide(tasks)
        if atomic and submission.has_refused:
            submission.refuse()
        return submission

    def _next_serial(self) -> int:
        self._acceptances += 1
        return make_serial(self._tag, self._acceptances)

    async def wait_for_room(self, least: int, most: int) -> int:
        """Wait until ``least`` places are likely free; how many there are, at most ``most``."""
        return await self._room.wait(least, most)

    # Claim, finish, release, cancel

    async def claim(self, limit: int) -> list[Running]:
        """Wait for work, then start at most ``limit`` tasks, in start order."""
        while True:
            await self._work_to_come()
            first = list(islice(self._book.pending, limit))
            async with self._book.registry.locked([record.task.name for record in first]):
                now = self._now()
                started = [
                    Running(record.serial, record.task, record.submitted_at, record.attempts, now)
                    for record in first
                    if self._book.get(record.serial) is record
                ]
                await self._make_durable(started)
                self._publish(started)
                self._room.offer()
                if started:
                    return started

    async def _work_to_come(self) -> None:
        """Return when a task is pending."""
        await trio.lowlevel.checkpoint()
        self._book.advance(self._now())
        while not self._book.pending:
            due_at = self._book.next_due()
            seconds = math.inf if due_at is None else min(max(0.0, due_at - self._now()), CLOCK_CHECK_SECONDS)
            with trio.move_on_after(seconds):
                await self._arrivals.park()
            self._book.advance(self._now())

    async def finish(self, running: Running, ending: Ending) -> Finished | Scheduled:
        """Record how an attempt ended: the task's outcome, or when it is tried again."""
        async with self._book.registry.locked([running.task.name]):
            now = self._now()
            at = None if running.serial in self._book.following else retry_at(running, ending, now, self._jitter)
            if at is None:
                return await self._end(running, ending)
            tried = attempts(running, ending, now)
            again = Scheduled(running.serial, running.task, running.submitted_at, tried, at)
            await self._make_durable([again])
            self._publish([again])
            return again

    async def release(self, tasks: Sequence[Running]) -> None:
        """Make running tasks pending again, at their old place in the order."""
        async with self._book.registry.locked([task.task.name for task in tasks]):
            returned = [
                Pending(task.serial, task.task, task.submitted_at, task.attempts)
                for task in tasks
                if self._book.get(task.serial) is task
            ]
            await self._make_durable(returned)
            self._publish(returned)

    async def cancel(self, task_id: str) -> Running | Finished:
        """End a task that waits; return a running one as it is, for its worker to end."""
        name = (await self.get(task_id)).task.name
        async with self._book.registry.locked([name]):
            match self._find(task_id):
                case Finished():
                    raise AlreadyFinishedError(task_id)
                case Running() as running:
                    return running
                case waiting:
                    finished = await self._end(waiting, Ending(Outcome.CANCELLED))
                    self._room.offer()
                    return finished

    async def set_priority(self, task_id: str, priority: int) -> Scheduled | Following | Pending:
        """Give a task that waits another place in the start order."""
        name = (await self.get(task_id)).task.name
        async with self._book.registry.locked([name]):
            match self._find(task_id):
                case Finished():
                    raise AlreadyFinishedError(task_id)
                case Running():
                    raise AlreadyStartedError(task_id)
                case waiting:
                    task = msgspec.structs.replace(waiting.task, priority=priority)
                    moved = msgspec.structs.replace(waiting, task=task)
                    await self._make_durable([moved])
                    self._publish([moved])
                    return moved

    async def _end(self, record: InFlight, ending: Ending) -> Finished:
        """The end of a task, and in the same step the turn of the one that follows it."""
        now = self._now()
        finished = end(record, ending, now)
        changes: list[Record] = [finished]
        follower = self._book.following.get(record.serial)
        if follower is not None and not isinstance(record, Following):
            changes.append(begin(follower.serial, follower.task, follower.submitted_at, now))
        await self._make_durable(changes)
        self._publish(changes)
        return finished

    async def _make_durable(self, changes: Sequence[Record]) -> None:
        """Commit, whatever happens to the caller meanwhile: half of a step is never left behind."""
        if not changes or not self._durable:
            return
        with trio.move_on_after(COMMIT_SECONDS_MAX, shield=True) as bound:
            await self._commit(changes)
        if bound.cancelled_caught:
            raise StoreUnavailableError(f"the store did not answer within {COMMIT_SECONDS_MAX:g} s")

    def _publish(self, changes: Sequence[Record]) -> None:
        for record in changes:
            self._book.put(record)
        if any(isinstance(record, Pending | Scheduled) for record in changes):
            self._arrivals.unpark_all()

    # Read

    async def get(self, task_id: str) -> Record:
        """The record with this id."""
        await trio.lowlevel.checkpoint()
        return self._find(task_id)

    def _find(self, task_id: str) -> Record:
        self._book.advance(self._now())
        serial = parse_task_id(task_id)
        if serial is None or not make_serial(self._tag, 0) < serial <= make_serial(self._tag, self._acceptances):
            raise UnknownTaskError(task_id)
        record = self._book.get(serial)
        if record is None:
            raise ExpiredTaskError(task_id)
        return record

    async def wait(self, task_id: str) -> Finished:
        """Wait for a task's outcome."""
        await trio.lowlevel.checkpoint()
        record = self._find(task_id)
        return record if isinstance(record, Finished) else await self._book.ended(record.serial)

    async def page(self, request: PageRequest) -> Page:
        """Some records in listing order."""
        await trio.lowlevel.checkpoint()
        self._book.advance(self._now())
        return list_page(self._book, request)

    def statistics(self) -> StoreStatistics:
        """A snapshot for observers."""
        self._book.advance(self._now())
        return StoreStatistics(
            queue_size=self.queue_size,
            pending=len(self._book.pending),
            scheduled=len(self._book.later),
            running=len(self._book.running),
            history=len(self._book.history),
            finished=dict(self._book.finished),
            durable=self._durable,
        )
