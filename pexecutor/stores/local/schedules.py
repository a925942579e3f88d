"""``LocalSchedules``: the schedules of a local store.

A step on a schedule takes the lock of its name first, then the lock of its task's name. It decides, makes the decision
durable together with the task, and puts it into the book at once. Steps of different schedules run at the same time, so
that many that are due together share the transactions of the journal.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from zlib import crc32

import msgspec
import trio

from ...errors import UnknownScheduleError
from ...task import Task
from ..deliveries import Delivery, is_new_skip, new_deliveries, skip_notice
from ..schedules import (
    DuePlace,
    DueSchedules,
    Firing,
    Occurrence,
    Schedule,
    ScheduleBounds,
    ScheduleChange,
    ScheduleStep,
    Skipped,
    SkipReason,
    definition_bytes,
    is_current,
    occurrence_of,
    recorded,
    too_many_bytes,
    too_many_schedules,
)
from .capacity import Room
from .journal_protocol import BesideRecords, Complete
from .registry import ShardedLockDict
from .schedule_book import ScheduleBook
from .shard_locks import KEY_SHARDS, ShardLocks, ShardsTaken
from .submission import Submission


class LocalSchedules:
    """Schedules in the memory of one process (see ``pexecutor.stores.schedules``).

    Parameters:
        bounds: how many schedules may be stored.
        registry: the locks of the names of tasks.
        begin: begins to decide about a submit.
        complete: completes a decided step.
        room: the bound of the queue.
        now: the wall clock, in seconds since 1970.
        draw_serials: returns this many new serials.
    """

    def __init__(
        self,
        bounds: ScheduleBounds,
        registry: ShardedLockDict[int],
        *,
        begin: Callable[[], Submission],
        complete: Complete,
        room: Room,
        now: Callable[[], float],
        draw_serials: Callable[[int], Sequence[int]],
    ) -> None:
        self.changed: Callable[[], None] = lambda: None
        """Called once a schedule has changed."""
        self._bounds = bounds
        self._registry = registry
        self._begin = begin
        self._complete = complete
        self._room = room
        self._now = now
        self._draw_serials = draw_serials
        self._locks = ShardLocks()
        self._generations = 0
        # Changed by _put() and load() alone.
        self._book = ScheduleBook()
        # Owned by _reserved(): the room for changes that are not in the book yet.
        self._new = 0
        self._new_bytes = 0

    def __len__(self) -> int:
        return len(self._book)

    def continue_after(self, generations: int) -> None:
        """Give only generations that are higher than this one."""
        self._generations = max(self._generations, generations)

    def load(self, schedules: Iterable[Schedule]) -> None:
        """Put the schedules of an earlier process into an empty book."""
        for schedule in schedules:
            self.continue_after(schedule.generation)
            self._book.put(schedule, definition_bytes(schedule.definition))

    def find(self, name: str) -> Schedule | None:
        """Return a schedule, or ``None``."""
        return self._book.get(name)

    # Read

    async def now(self) -> float:
        """Return the time by the store's clock, in seconds since 1970."""
        await trio.lowlevel.checkpoint()
        return self._now()

    async def get(self, name: str) -> Schedule:
        """Return the schedule with this name."""
        await trio.lowlevel.checkpoint()
        schedule = self._book.get(name)
        if schedule is None:
            raise UnknownScheduleError(name)
        return schedule

    async def page(self, limit: int, after: str | None = None) -> list[Schedule]:
        """Return the first schedules by name, after a name."""
        await trio.lowlevel.checkpoint()
        return self._book.page(limit, after)

    async def due(self, limit: int, after: DuePlace | None = None) -> DueSchedules:
        """Return the schedules that are due, the longest due first, after a place."""
        await trio.lowlevel.checkpoint()
        return self._book.due(self._now(), limit, after)

    # Change

    async def put(self, schedule: Schedule) -> Schedule | None:
        """Store a schedule in the place of the generation that it names; return it with its new generation."""
        async with self._locked(schedule.name):
            old = self._book.get(schedule.name)
            if (0 if old is None else old.generation) != schedule.generation:
                return None
            if old is not None and old.occurrences != schedule.occurrences:
                return None  # it has fired meanwhile, so the next time of the caller may be that very time
            size = definition_bytes(schedule.definition)
            with self._reserved(schedule.name, size):
                self._generations += 1
                new = msgspec.structs.replace(schedule, generation=self._generations)
                await self._complete((), beside=BesideRecords([ScheduleChange(new.name, new)]))
            self._book.put(new, size)
            self.changed()
            return new

    async def remove(self, name: str, generation: int) -> bool:
        """Remove a schedule of this generation; return whether it was removed."""
        async with self._locked(name):
            old = self._book.get(name)
            if old is None or old.generation != generation:
                return False
            await self._complete((), beside=BesideRecords([ScheduleChange(name, None)]))
            self._book.remove(name)
            self.changed()
            return True

    async def fire(self, step: ScheduleStep, task: Task) -> Firing | None:
        """Submit the task of an occurrence, record the occurrence and set the next time."""
        async with self._locked(step.name), self._taking(task) as submission:
            schedule = self._book.get(step.name)
            if schedule is None or not is_current(schedule, step, self._now()):
                return None
            submission.decide([task])
            [verdict] = submission.verdicts
            occurrence = occurrence_of(step, verdict)
            if occurrence is not None:
                new = _after(schedule, step, occurrence)
                occurrence = new.occurrences[0]
                with self._room.reserved(max(0, submission.places)):
                    await self._complete(
                        submission.changes,
                        known_with_it=submission.superseded_running,
                        beside=BesideRecords([ScheduleChange(new.name, new)]),
                        made=self._made_by(step, new),
                    )
                self._book.put(new)
                self.changed()
            return Firing(verdict, occurrence)

    @asynccontextmanager
    async def _taking(self, task: Task) -> AsyncIterator[Submission]:
        """Open a context in which only the caller decides about the name of a task."""
        try:
            async with self._registry.locked([task.name]):
                yield self._begin()
        finally:
            self._room.offer()

    async def skip(self, step: ScheduleStep, reason: SkipReason) -> Skipped | None:
        """Record that times are skipped, and set the next time."""
        async with self._locked(step.name):
            schedule = self._book.get(step.name)
            if schedule is None or step.expected is None or not is_current(schedule, step, self._now()):
                return None
            new = _after(schedule, step, Skipped(step.expected.at, step.at, reason))
            beside = BesideRecords([ScheduleChange(new.name, new)])
            await self._complete((), beside=beside, made=self._made_by(step, new))
            self._book.put(new)
            self.changed()
            skipped = new.occurrences[0]
            assert isinstance(skipped, Skipped), "it was just recorded"
            return skipped

    def _made_by(self, step: ScheduleStep, new: Schedule) -> list[Delivery]:
        """Return the deliveries that a step makes: those of a skip that it records as a new entry."""
        if not (step.targets and is_new_skip(new.occurrences)):
            return []
        serials = self._draw_serials(len(step.targets))
        return new_deliveries(serials, step.targets, skip_notice(new), self._now())

    def _locked(self, name: str) -> ShardsTaken:
        """Return an async context in which only the caller changes this schedule."""
        return self._locks.locked(1 << crc32(name.encode("utf-8", "surrogatepass")) % KEY_SHARDS)

    @contextmanager
    def _reserved(self, name: str, size: int) -> Iterator[None]:
        """Reserve the room for a definition of this size until it is in the book."""
        new, new_bytes = int(self._book.get(name) is None), size - self._book.size(name)
        count, in_all = len(self._book) + self._new + new, self._book.bytes + self._new_bytes + new_bytes
        if new and count > self._bounds.schedules_max:
            raise too_many_schedules(self._bounds)
        if new_bytes > 0 and in_all > self._bounds.bytes_max:
            raise too_many_bytes(self._bounds)
        self._new, self._new_bytes = self._new + new, self._new_bytes + max(0, new_bytes)
        try:
            yield
        finally:
            self._new, self._new_bytes = self._new - new, self._new_bytes - max(0, new_bytes)


def _after(schedule: Schedule, step: ScheduleStep, occurrence: Occurrence) -> Schedule:
    """Return a schedule after one of its occurrences."""
    return msgspec.structs.replace(
        schedule,
        next=schedule.next if step.expected is None else step.next,
        occurrences=recorded(schedule.occurrences, occurrence),
    )
