"""``Changes``: cancels waiting tasks and changes their priority or time, one task or many in one step.

A step that changes many tasks decides about each on top of the tasks before it in the list, and changes each record at
most once: if the end of a task gives its follower the name and the list also cancels the follower, the follower ends
without being the holder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeGuard

import trio

from ...errors import AlreadyFinishedError, AlreadyStartedError
from ...limits.defaults import STEP_RECORDS_MAX
from ...task import Ending, Finished, Following, Outcome, Pending, Record, Running, Scheduled, parse_task_id
from .book import Book
from .capacity import Room
from .shard_locks import ShardsTaken
from .steps import Steps, most_brought_by
from .submission import end, end_and_pass_on
from .waiting import changed

_CANCELLED: Final = Ending(Outcome.CANCELLED)


class Changes:
    """The changes that callers make to tasks which wait.

    Parameters:
        book: the records.
        steps: completes decided steps.
        room: the places of the queue.
        find: returns the record of an id.
        now: the wall clock, in seconds since 1970.
    """

    def __init__(
        self, book: Book, steps: Steps, room: Room, *, find: Callable[[str], Record], now: Callable[[], float]
    ) -> None:
        self._book = book
        self._steps = steps
        self._room = room
        self._find = find
        self._now = now

    async def cancel(self, task_id: str) -> Running | Finished:
        """End a waiting task; return a running one unchanged."""
        await trio.lowlevel.checkpoint()
        async with self._book.registry.locked([self._find(task_id).task.name]):
            match self._find(task_id):
                case Finished():
                    raise AlreadyFinishedError(task_id)
                case Running() as running:
                    return running
                case waiting:
                    changes = end_and_pass_on(self._book, waiting, _CANCELLED, self._now())
                    [finished, *_] = await self._steps.complete(changes)
                    assert isinstance(finished, Finished), "the end comes first"
                    self._room.offer()
                    return finished

    async def change_waiting(
        self, task_id: str, priority: int | None, due_at: float | None
    ) -> Scheduled | Following | Pending:
        """Give a waiting task another priority, another time, or both."""
        await trio.lowlevel.checkpoint()
        async with self._book.registry.locked([self._find(task_id).task.name]):
            match self._find(task_id):
                case Finished():
                    raise AlreadyFinishedError(task_id)
                case Running():
                    raise AlreadyStartedError(task_id)
                case waiting:
                    moved = changed(waiting, priority, due_at, self._now())
                    await self._steps.complete([moved])
                    return moved

    # Many

    async def cancel_many(self, task_ids: Sequence[str]) -> list[Running | Finished | None]:
        """End the waiting tasks among the first ones of the list; return running ones unchanged."""
        task_ids = task_ids[:STEP_RECORDS_MAX]
        serials = [parse_task_id(task_id) or 0 for task_id in task_ids]  # no task has the serial 0
        async with self._locked(serials):
            step = _Cancels(self._book, now := self._now())
            results = step.decide(self._found(serials, now))
            written = await self._complete(step.changes, self._book.end_waiting if step.is_plain else None)
            self._room.offer()
        return [written.get(record.serial, record) if isinstance(record, Finished) else record for record in results]

    async def change_many(self, task_ids: Sequence[str], priority: int) -> list[Record | None]:
        """Give the waiting tasks among the first ones of the list another priority."""
        task_ids = task_ids[:STEP_RECORDS_MAX]
        serials = [parse_task_id(task_id) or 0 for task_id in task_ids]  # no task has the serial 0
        async with self._locked(serials):
            found = self._found(serials, now := self._now())
            waiting = [None if isinstance(record, Running | Finished) else record for record in found]
            results = [None if record is None else changed(record, priority, None, now) for record in waiting]
            changes: dict[int, Record] = {record.serial: record for record in results if record is not None}
            await self._complete(changes, self._book.change_priority)
        return [*results]

    def _locked(self, serials: Sequence[int]) -> ShardsTaken:
        """Return an async context in which only the caller decides about the names of these tasks."""
        found = self._found(serials, self._now())
        return self._book.registry.locked([record.task.name for record in found if record is not None])

    def _found(self, serials: Sequence[int], now: float) -> list[Record | None]:
        """Return the record of each serial, or ``None`` if it cannot be read."""
        self._book.advance(now)
        return self._book.get_each(serials)

    async def _complete(
        self, changes: dict[int, Record], put: Callable[[Sequence[Any]], None] | None = None
    ) -> dict[int, Any]:
        """Complete one step, and return its changes by serial as they were made durable."""
        if not changes:
            return changes
        return {record.serial: record for record in await self._steps.complete([*changes.values()], put=put)}


class _Cancels:
    """The decisions of one step that cancels many tasks.

    Parameters:
        book: the records before the step; they are read, not changed.
        now: the time, in seconds since 1970.
    """

    def __init__(self, book: Book, now: float) -> None:
        self.changes: dict[int, Record] = {}
        """By serial, in an order in which each name is freed before it is passed on."""
        self.is_plain = True
        """Whether only tasks end whose end changes nothing else."""
        self._book = book
        self._now = now
        self._size = 0

    def decide(self, records: Iterable[Record | None]) -> list[Running | Finished | None]:
        """Decide about the first records, as many as one step may change; return a result for each."""
        results: list[Running | Finished | None] = []
        for record in records:
            if isinstance(record, Running):
                results.append(record)
            elif record is not None and self._just_ends(record):
                if self._size >= STEP_RECORDS_MAX:
                    break
                self._size += 1
                self.changes[record.serial] = finished = end(record, _CANCELLED, self._now)
                results.append(finished)
            elif record is None or not (ends := self._ends(record)):
                results.append(None)
            elif self._take(ends, always=not results):
                results.append(ends[0])
            else:
                break
        return results

    def _just_ends(self, record: Record) -> TypeGuard[Scheduled | Pending]:
        """Return whether the end of a task changes nothing but this task, which no earlier decision concerns."""
        return (
            record.rare is None
            and not isinstance(record, Following | Finished)
            and record.serial not in self._book.following
            and record.serial not in self.changes
        )

    def _ends(self, record: Record) -> list[Any]:
        """Return the end of a task and the next state of its follower, or nothing if the task has ended."""
        record = self.changes.get(record.serial, record)
        if isinstance(record, Finished):
            return []
        self.is_plain = False
        changes = end_and_pass_on(self._book, record, _CANCELLED, self._now)
        return [change for change in changes if not isinstance(self.changes.get(change.serial), Finished)]

    def _take(self, changes: Sequence[Record], *, always: bool) -> bool:
        """Add changes to the step and return ``True``, if they fit."""
        more = sum(map(_size, changes)) - sum(_size(self.changes.get(change.serial)) for change in changes)
        if self._size + more > STEP_RECORDS_MAX and not always:
            return False
        self._size += more
        self.changes |= {change.serial: change for change in changes}
        return True


def _size(change: Record | None) -> int:
    """Return how many records a change counts as: the task and the deliveries that its end may bring."""
    return 0 if change is None else 1 + most_brought_by(change)
