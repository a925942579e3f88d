"""``LocalStore``: tasks in the memory of one process, optionally with a journal on its disk.

Each verb that changes a named task has four steps: take the lock of the name, decide without awaiting, make the
decision durable, put it into the book at once. The journal makes changes durable; without one, that step does nothing.
"""

from __future__ import annotations

import math
import random
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Sequence
from contextlib import asynccontextmanager
from itertools import takewhile
from typing import Final

import trio

from ...errors import ExpiredTaskError, UnknownTaskError
from ...limits.defaults import (
    CRASHES_MAX,
    HISTORY_BYTES_MAX,
    HISTORY_FAILED_RECORDS_MAX,
    HISTORY_FAILED_SECONDS_MAX,
    HISTORY_RECORDS_MAX,
    HISTORY_SECONDS_MAX,
    QUEUE_SIZE,
)
from ...observe.histogram import Histogram
from ...observe.notify import notifier
from ...task import (
    TAG_BITS,
    Ending,
    Finished,
    Following,
    Pending,
    Record,
    Running,
    Scheduled,
    Task,
    Verdict,
    parse_task_id,
    wait_again,
)
from .. import Node, Page, PageRequest, StoreStatistics, Watcher
from ..answers import ANSWER_BOUNDS, AnswerBounds
from ..deliveries import DELIVERY_BOUNDS, DeliveryBounds
from ..schedules import SCHEDULE_BOUNDS, ScheduleBounds
from .answers import LocalAnswers
from .book import Book
from .capacity import Room
from .changes import Changes
from .crashes import Trials
from .deliveries import LocalDeliveries
from .delivery_book import DeliveryBook
from .history import HistoryBounds
from .journal_protocol import BESIDE_KINDS, BesideKind, Journal, KeptBeside, forgetter, leave_as_is
from .limits import LocalLimits
from .listing import list_page
from .rare_facts import RareFacts
from .recovery import Recovered, check_handlers, load, recovery
from .schedules import LocalSchedules
from .serials import Serials
from .snapshot import take_snapshot
from .steps import Steps
from .submission import Submission, after, all_just_end, end, start

CLOCK_CHECK_SECONDS: Final = 60.0
"""The longest sleep towards a time of the wall clock, in seconds: the clock may be set meanwhile."""


class LocalStore:
    """A store in memory that fulfils the store contract (see ``pexecutor.stores``).

    Parameters:
        queue_size: how many tasks may wait.
        history_records_max: how many tasks that succeeded can be read.
        history_seconds_max: how long a task that succeeded can be read, in seconds.
        history_failed_records_max: how many tasks with another outcome can be read.
        history_failed_seconds_max: how long a task with another outcome can be read, in seconds.
        history_bytes_max: the bytes of params, errors, attempts, results and output that are kept in all.
        crashes_max: the number of crashes at which a task is abandoned.
        answer_bounds: how many answers to requests with a key are remembered, and for how long.
        schedule_bounds: how many schedules are kept, and how many bytes of them.
        delivery_bounds: how many deliveries are kept, and for how long.
        journal: makes changes durable; ``None`` if tasks may be lost with the process.
        known_handlers: the handlers that stored tasks may need; opening fails if a task needs another one.
        ends_with_us: the handlers whose work ends with this process, so that a start need not be durable. If there are
            any, those of the watcher replace them; otherwise every start is durable.
        end_leftovers: called with the tasks that ran when an earlier process died; ends the work that they left behind.
        on_recovered: called with the result of the recovery, once it is durable.
        now: the wall clock, in seconds since 1970.
        jitter: the source of the random delays of retries.
        tag: the bits that make this store's ids differ from any other store's; random by default.
    """

    def __init__(
        self,
        *,
        queue_size: int = QUEUE_SIZE,
        history_records_max: int = HISTORY_RECORDS_MAX,
        history_seconds_max: float = HISTORY_SECONDS_MAX,
        history_failed_records_max: int = HISTORY_FAILED_RECORDS_MAX,
        history_failed_seconds_max: float = HISTORY_FAILED_SECONDS_MAX,
        history_bytes_max: int = HISTORY_BYTES_MAX,
        crashes_max: int = CRASHES_MAX,
        answer_bounds: AnswerBounds = ANSWER_BOUNDS,
        schedule_bounds: ScheduleBounds = SCHEDULE_BOUNDS,
        delivery_bounds: DeliveryBounds = DELIVERY_BOUNDS,
        journal: Journal | None = None,
        known_handlers: Container[str] | None = None,
        ends_with_us: Container[str] = (),
        end_leftovers: Callable[[Sequence[Running]], Awaitable[None]] = leave_as_is,
        on_recovered: Callable[[Recovered], None] = lambda _: None,
        now: Callable[[], float] = time.time,
        jitter: random.Random | None = None,
        tag: int | None = None,
    ) -> None:
        self._crashes_max = crashes_max
        self._known_handlers = known_handlers
        self._ends_with_us, self._has_free_starts = ends_with_us, bool(ends_with_us)
        self._end_leftovers = end_leftovers
        self._on_recovered = notifier(on_recovered)
        self._now = now
        self._jitter = random.Random() if jitter is None else jitter
        self._serials = Serials(secrets.randbits(TAG_BITS) if tag is None else tag)
        self._facts = RareFacts()
        self._book = Book(
            successes=HistoryBounds(history_records_max, history_seconds_max),
            others=HistoryBounds(history_failed_records_max, history_failed_seconds_max),
            history_bytes_max=history_bytes_max,
            forget=journal.forget if journal is not None else lambda _: None,
        )
        self._arrivals = trio.lowlevel.ParkingLot()
        delivery_book = DeliveryBook(delivery_bounds, forget=forgetter(journal, "deliveries"))
        self._steps = Steps(self._book, delivery_book, self._serials, journal, self._arrivals)
        self._trials = Trials(self._book.pending, self._book.crashed, self._steps.changing, crashes_max)
        self._room = room = Room(queue_size, self._book.waiting)
        registry, begin, complete = self._book.registry, self._submission, self._steps.complete
        forget = forgetter(journal, "answers")
        self.answers: LocalAnswers = LocalAnswers(
            answer_bounds, registry, forget=forget, begin=begin, complete=complete, room=room, now=now
        )
        self.schedules: LocalSchedules = LocalSchedules(
            schedule_bounds,
            registry,
            begin=begin,
            complete=complete,
            room=room,
            now=now,
            draw_serials=self._serials.draw,
        )
        self.deliveries: LocalDeliveries = LocalDeliveries(delivery_book, complete=complete, now=now)
        self._changes = Changes(self._book, self._steps, room, find=self._find, now=now)
        self.limits: LocalLimits = LocalLimits(self._book, self._steps, known_handlers, find=self._find, now=now)

    @property
    def queue_size(self) -> int:
        """How many tasks may wait."""
        return self._room.places

    @property
    def commits(self) -> Histogram:
        """How long changes took to become durable."""
        return self._steps.commits

    def watch(self, watcher: Watcher) -> None:
        """Register the callbacks that are notified of each change from now on."""
        self._book.changed, self._book.forgotten = watcher.changed, watcher.forgotten
        self.schedules.changed = watcher.schedules_changed
        self.deliveries.watch(watcher.deliveries_changed, watcher.deliveries_ended)
        self._facts.watch(watcher.brings, watcher.limit_keys)
        self.limits.watch(watcher.handlers, watcher.describe)
        if watcher.ends_with_us is not None and self._has_free_starts:
            self._ends_with_us = watcher.ends_with_us

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Restore the tasks of an earlier process; at the end, make everything durable.

        Raises:
            UnusableStoreError: the stored tasks cannot be used.
        """
        if self._steps.journal is None:
            yield
            return
        async with self._steps.journal.opened(self._book.get, lambda kind, key: self._kept(kind).find(key)) as identity:
            self._serials.tag, self._serials.drawn = identity
            self.schedules.continue_after(self._steps.journal.generations)
            async with self._book.registry.all_locked():
                self._on_recovered(await self._recover(self._steps.journal))
            yield

    def _kept(self, kind: BesideKind) -> KeptBeside:
        kept: KeptBeside = getattr(self, kind)
        return kept

    async def _recover(self, journal: Journal) -> Recovered:
        handlers = await load(journal.records(), self._book)
        for kind in BESIDE_KINDS:
            self._kept(kind).load(await journal.stored(kind))
        if self._known_handlers is not None:
            check_handlers(handlers, self._known_handlers)
        waiting, history = self._book.waiting(), len(self._book.history)
        running = list(self._book.running.values())
        await self._end_leftovers(running)
        if running or journal.after_crash:
            self._trials.begin_caution()
        changes = recovery(self._book, running, self._now(), self._crashes_max)
        await self._steps.complete(changes)
        ended = sum(isinstance(change, Finished) for change in changes)
        return Recovered(waiting, len(running) - ended, ended, history, *journal.repairs, journal.lost_transactions)

    # Submit

    async def submit(
        self, tasks: Sequence[Task], *, atomic: bool = False, retry_of: Sequence[int] = ()
    ) -> list[Verdict]:
        """Decide about the tasks in one step; return a verdict for each."""
        try:
            async with self._book.registry.locked([task.name for task in tasks]):
                submission = self._submission()
                submission.decide(tasks, atomic=atomic, retry_of=retry_of)
                with self._room.reserved(max(0, submission.places)):  # superseding can free more places than it takes
                    if submission.plain:
                        await self._steps.accept(submission.plain)
                    else:
                        await self._steps.complete(submission.changes, known_with_it=submission.superseded_running)
                return submission.verdicts
        finally:
            self._room.offer()

    def submit_nowait(self, tasks: Sequence[Task]) -> list[Verdict] | None:
        """Accept all tasks without awaiting, or return ``None``: for a journal, a lock, or a refused task."""
        if self._steps.journal is None and tasks:
            with self._book.registry.locked_nowait([task.name for task in tasks]) as is_locked:
                if is_locked and (submission := self._submission()).take_all(tasks):
                    self._steps.accept_nowait(submission.plain)
                    return submission.verdicts
        return None

    def _submission(self) -> Submission:
        now = self._now()
        self._book.advance(now)
        return Submission(
            self._book, room=self._room.free(), now=now, draw_serials=self._serials.draw, facts=self._facts
        )

    async def wait_for_room(self, least: int, most: int) -> int:
        """Wait until ``least`` places are likely to be free; return how many are free, at most ``most``."""
        return await self._room.wait(least, most)

    # Claim, finish, release, cancel

    async def claim(self, limit: int) -> list[Running]:
        """Wait for work, then start at most ``limit`` tasks in start order."""
        while True:
            await self._work_to_come()
            if started := self.claim_nowait(limit):
                return started
            first = self._trials.first(limit)
            async with self._book.registry.locked([record.task.name for record in first]):
                now = self._now()  # while we waited for the locks, a task may have been cancelled, moved or started
                started = [start(record, now) for record in self._trials.still_first(first)]
                with self._book.slots.reserved(started):
                    await self._steps.complete(started)
                self._room.offer()
                if started:
                    return started

    def claim_nowait(self, limit: int) -> list[Running]:
        """Start at most ``limit`` tasks in start order, up to the first one whose start has to be durable."""
        now = self._now()
        self._book.advance(now)
        first = self._book.pending.first(limit)
        if self._steps.journal is not None:
            first = [] if self._trials.under_caution else list(takewhile(self._can_start_at_once, first))
        if not first:
            return []
        started = [start(record, now) for record in first]
        self._book.start(started)
        self._room.offer()
        return started

    def _can_start_at_once(self, record: Pending) -> bool:
        """Return whether a crash has the same effect before and after the start, and no change is being written."""
        task = record.task
        return (
            task.on_crash == "rerun"
            and task.handler in self._ends_with_us
            and record.serial not in self._steps.changing
            and not record.crashes  # a further crash has to be counted, so the start must be durable
        )

    async def _work_to_come(self) -> None:
        """Wait until a task can be started."""
        await trio.lowlevel.checkpoint()
        self._book.advance(self._now())
        while not self._trials.first(1):
            if self._book.pending.is_cut:
                await trio.lowlevel.checkpoint()
                continue
            due_at = self._book.next_due()
            seconds = math.inf if due_at is None else min(max(0.0, due_at - self._now()), CLOCK_CHECK_SECONDS)
            with trio.move_on_after(seconds):
                await self._arrivals.park()
            self._book.advance(self._now())

    async def finish(self, ended: Sequence[tuple[Running, Ending]]) -> list[Finished | Scheduled | None]:
        """Record how attempts ended; return each task's outcome or its retry."""
        async with self._book.registry.locked([running.task.name for running, _ in ended]):
            now = self._now()
            if all_just_end(self._book, ended):
                return [*await self._steps.end([end(running, ending, now) for running, ending in ended])]
            changes = [after(self._book, running, ending, now, self._jitter) for running, ending in ended]
            applied = await self._steps.complete([record for task_changes in changes for record in task_changes])
            by_serial = {record.serial: record for record in applied}
            return [by_serial[running.serial] for running, _ in ended]

    def finish_nowait(self, ended: Sequence[tuple[Running, Ending]]) -> Sequence[Finished | Scheduled | None] | None:
        """Record how attempts ended without awaiting, or return ``None``: for a journal, a lock or a decision."""
        if self._steps.journal is None and all_just_end(self._book, ended):
            with self._book.registry.locked_nowait([running.task.name for running, _ in ended]) as is_locked:
                if is_locked:
                    now = self._now()
                    finished = [end(running, ending, now) for running, ending in ended]
                    self._steps.end_nowait(finished)
                    return finished
        return None

    async def release(self, tasks: Sequence[Running]) -> None:
        """Make running tasks pending again, at their old place in the start order."""
        async with self._book.registry.locked([task.task.name for task in tasks]):
            await self._steps.complete([wait_again(task) for task in tasks if self._book.get(task.serial) is task])

    async def cancel(self, task_id: str) -> Running | Finished:
        """End a waiting task; return a running one unchanged: the caller stops its attempt."""
        return await self._changes.cancel(task_id)

    async def change_waiting(
        self, task_id: str, *, priority: int | None = None, due_at: float | None = None
    ) -> Scheduled | Following | Pending:
        """Give a waiting task another priority, another time, or both."""
        return await self._changes.change_waiting(task_id, priority, due_at)

    async def cancel_many(self, task_ids: Sequence[str]) -> list[Running | Finished | None]:
        """End the waiting tasks among the first ones of the list, in one step; return a result for each."""
        return await self._changes.cancel_many(task_ids)

    async def change_many(self, task_ids: Sequence[str], *, priority: int) -> list[Record | None]:
        """Give the waiting tasks among the first ones of the list another priority, in one step."""
        return await self._changes.change_many(task_ids, priority)

    async def get(self, task_id: str) -> Record:
        """Return the record with this id."""
        await trio.lowlevel.checkpoint()
        return self._find(task_id)

    def _find(self, task_id: str) -> Record:
        self._book.advance(self._now())
        serial = parse_task_id(task_id)
        record = None if serial is None else self._book.get(serial)
        if record is not None:
            return record
        if serial is None or serial not in self._serials:
            raise UnknownTaskError(task_id)
        raise ExpiredTaskError(task_id)

    async def wait(self, task_id: str) -> Finished:
        """Wait until a task has its outcome, and return its record."""
        await trio.lowlevel.checkpoint()
        record = self._find(task_id)
        return record if isinstance(record, Finished) else await self._book.ended(record.serial)

    async def page(self, request: PageRequest) -> Page:
        """Return one page of records in listing order."""
        await trio.lowlevel.checkpoint()
        self._book.advance(self._now())
        return list_page(self._book, request, self._serials.last)

    async def nodes(self) -> list[Node]:
        """Return no nodes: this store is not shared."""
        await trio.lowlevel.checkpoint()
        return []

    def statistics(self) -> StoreStatistics:
        """Return a snapshot for observers."""
        self._book.advance(self._now())
        counts = len(self.schedules), len(self.deliveries)
        return take_snapshot(self._book, self._steps.journal, self.queue_size, *counts, self.limits.current())
