"""``Book``: the records of a local store and their indexes. It is synchronous: no method that changes it awaits.

``put`` makes every kind of change: it removes a record's old state from its index and adds its new state to another.
The name follows: a task holds its name from its first state (a ``Following`` task from its second) until its end.
``accept``, ``start`` and ``end`` are faster forms of ``put`` for the changes that nearly every task makes, many at
once. ``end_waiting`` and ``change_priority`` are two for steps that change many waiting tasks.

These six methods own all of the following:

* ``registry``: the serial of the task that holds a name;
* ``_records``: every record that can be read, by serial;
* ``pending``, ``later``, ``running``, ``history``: the same records, by state; ``later`` holds those that are not due;
* ``following``: the records in ``later`` that follow another task;
* ``crashed``: the records in flight that have a crash (see ``crashes.py``); nearly always empty;
* ``slots``: the running records by limit key.

A task that becomes due needs no lock and no write: any reader may move it, and after a restart its record still holds
the time at which it was due.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import trio

from ...limits.keys import LimitKey
from ...observe.batch_counts import Gathered, by_handler, value_counts
from ...task import Finished, Following, Holder, Outcome, Pending, Record, Running, Scheduled, wait_again
from .chunked_dict import BySerial
from .deadlines import Deadlines
from .history import History, HistoryBounds
from .registry import ShardedLockDict
from .slots import Slots
from .sorted_serials import Lane
from .start_gate import StartGate
from .start_order import StartOrder


class Book:
    """The records of one process.

    Parameters:
        successes: the bounds of the finished tasks that succeeded.
        others: the bounds of the finished tasks with another outcome.
        history_bytes_max: the largest number of bytes of params, errors, attempts, results and output to keep.
        forget: called with the serials of records that are no longer kept.
    """

    def __init__(
        self,
        *,
        successes: HistoryBounds,
        others: HistoryBounds,
        history_bytes_max: int,
        forget: Callable[[Sequence[int]], None],
    ) -> None:
        self.registry: ShardedLockDict[int] = ShardedLockDict()
        self._records: BySerial[Record] = BySerial()
        self.slots: Slots = Slots(freed=self._open_queues)
        self.gate: StartGate = StartGate(self.slots)
        self.pending: StartOrder = StartOrder(self._records, self.slots, self.gate)
        self.later: Lane[Record] = Lane(self._records)
        self.following: dict[int, Following] = {}  # by the serial of the task that is followed
        self.running: dict[int, Running] = {}
        self.crashed: dict[int, Record] = {}
        self.history: History = History(
            successes=successes, others=others, bytes_max=history_bytes_max, forget=self._forget
        )
        self._finished: defaultdict[str, Counter[Outcome]] = defaultdict(Counter)  # by handler
        self._ended = Gathered(self._count)
        self._due = Deadlines()
        self._awaited: dict[int, _Awaited] = {}
        self.changed: Callable[[Sequence[Record]], None] = lambda _: None
        """Called with the records that were put, in the order of the changes, once every caller can see them."""
        self.forgotten: Callable[[Sequence[int]], None] = lambda _: None
        """Called with the serials of records that are no longer kept."""
        self.startable: Callable[[], object] = lambda: None
        """Called once a limit key has a free slot again, so that blocked tasks may start."""
        self._report_forgotten = forget

    @contextmanager
    def restoring(self) -> Iterator[None]:
        """Within this context, put the records of an earlier process: no watcher is notified, no ending is counted."""
        changed, self.changed = self.changed, lambda _: None
        try:
            yield
        finally:
            self.changed = changed
            self.finished().clear()

    def get(self, serial: int) -> Record | None:
        """Return the record with this serial, or ``None``."""
        record: Record | None = self._records.get(serial)
        return record

    def get_each(self, serials: Sequence[int]) -> list[Record | None]:
        """Return the record of each serial, or ``None``."""
        return self._records.get_each(serials)

    def holder(self, name: str) -> Holder | None:
        """Return the record that holds a name, or ``None``."""
        serial = self.registry.get(name)
        record = None if serial is None else self._records[serial]
        assert not isinstance(record, Following | Finished), "neither holds a name"
        return record

    def finished(self) -> dict[str, Counter[Outcome]]:
        """Return how many tasks have ended, by handler and outcome."""
        self._ended.settle()
        return self._finished

    def _count(self, records: Sequence[Finished]) -> None:
        for handler, ended in by_handler(records):
            finished = self._finished[handler]
            for outcome, times in value_counts([record.ending.outcome for record in ended]):
                finished[outcome] += times

    def waiting(self) -> int:
        """Return how many tasks take a place in the queue."""
        return len(self.pending) + len(self.later)

    def put(self, records: Sequence[Record]) -> None:
        """Put records, each in the place of the earlier state of its task."""
        for record in records:
            self._put(record)
        if ended := [record for record in records if isinstance(record, Finished)]:
            self._ended.add_all(ended)
            self.history.add(ended)
        self.changed(records)

    def accept(self, records: Sequence[Pending]) -> None:
        """Put new tasks whose names are free, in ascending order of serial."""
        serials = [record.serial for record in records]
        self._records.put_all(serials, records)
        self.pending.add_all(records)
        self.registry.hold_all([record.task.name for record in records], serials)
        self.changed(records)

    def start(self, records: Sequence[Running]) -> None:
        """Put the running states of the first pending tasks, in start order. No name changes, so no lock is needed."""
        serials = [record.serial for record in records]
        self._records.put_all(serials, records)
        if not self.pending.is_plain:
            self.slots.take(records)
        self.pending.remove_first(records)
        self.running.update(zip(serials, records, strict=True))
        self.changed(records)

    def end(self, records: Sequence[Finished]) -> None:
        """Put the ends of running tasks that have no follower."""
        serials = [record.serial for record in records]
        self._records.put_all(serials, records)
        running = self.running
        for serial in serials:
            del running[serial]
        if self.slots.in_use:
            self.slots.free(records)
        self._note_ends(serials, records)

    def end_waiting(self, records: Sequence[Finished]) -> None:
        """Put the ends of due and scheduled tasks that have no follower and no rare facts."""
        serials = [record.serial for record in records]
        before = self._records.get_all(serials)
        self._records.put_all(serials, records)
        self.pending.remove_all([record for record in before if isinstance(record, Pending)])
        scheduled = [record.serial for record in before if isinstance(record, Scheduled)]
        self.later.remove_all(sorted(scheduled))
        for serial in scheduled:
            self._due.forget(serial)
        self._note_ends(serials, records)

    def change_priority(self, records: Sequence[Record]) -> None:
        """Put waiting tasks, of which at most the priority has changed."""
        before: list[Pending] = []
        moved: list[Pending] = []
        for record, old in zip(records, self._records.get_all([record.serial for record in records]), strict=True):
            if record.rare is not None or type(old) is not type(record) or isinstance(record, Following):
                self._put(record)
            else:
                self._records[record.serial] = record
                if isinstance(old, Pending) and isinstance(record, Pending):
                    before.append(old)
                    moved.append(record)
        self.pending.remove_all(before)
        self.pending.add_all(sorted(moved, key=lambda record: record.serial))
        self.changed(records)

    def _note_ends(self, serials: Sequence[int], records: Sequence[Finished]) -> None:
        """Free the names of ended tasks, and add the tasks to the history."""
        self._ended.add_all(records)
        if self._awaited:
            for record in records:
                self._wake_awaiting(record)
        if self.crashed:
            for serial in serials:
                self.crashed.pop(serial, None)
        self.registry.free_all([record.task.name for record in records])
        self.history.add(records)
        self.changed(records)

    def _put(self, record: Record) -> None:
        old = self.get(record.serial)
        self._records[record.serial] = record
        if old is not None:
            self._take_out(old)
        if record.rare is not None:
            self._note_crashes(record)
        match record:
            case Pending():
                self.pending.add(record)
            case Scheduled():
                self.later.add(record.serial)
                self._due.set(record.serial, record.due_at)
            case Following():
                self.later.add(record.serial)
                self.following[record.follows] = record
            case Running():
                self.running[record.serial] = record
                self.slots.take([record])
            case Finished():
                self._wake_awaiting(record)
        self._pass_name(old, record)

    def _note_crashes(self, record: Record) -> None:
        if record.crashes and not isinstance(record, Finished):
            self.crashed[record.serial] = record
        else:
            self.crashed.pop(record.serial, None)

    def _take_out(self, old: Record) -> None:
        match old:
            case Pending():
                self.pending.remove(old)
            case Scheduled():
                self.later.remove(old.serial)
                self._due.forget(old.serial)
            case Following():
                self.later.remove(old.serial)
                del self.following[old.follows]
            case Running():
                del self.running[old.serial]
                self.slots.free([old])

    def _pass_name(self, old: Record | None, record: Record) -> None:
        """Assign the name at the first state that holds it, and free it at the first state that does not."""
        held = old is not None and not isinstance(old, Following)
        holds = not isinstance(record, Following | Finished)
        if holds and not held:
            self.registry[record.task.name] = record.serial
        elif held and not holds:
            del self.registry[record.task.name]

    def _forget(self, records: Sequence[Finished]) -> None:
        serials = [record.serial for record in records]
        self._records.remove_all(serials)
        self._report_forgotten(serials)
        self.forgotten(serials)

    def _wake_awaiting(self, record: Finished) -> None:
        if (awaited := self._awaited.pop(record.serial, None)) is not None:
            awaited.record = record
            awaited.ended.set()

    def _open_queues(self, key: LimitKey) -> None:
        self.pending.open_queues(key)
        self.startable()

    # Time

    def advance(self, now: float) -> None:
        """Make due tasks pending, and drop finished ones that have reached their age."""
        if self._due:
            for serial in self._due.pop_due(now):
                record = self._records[serial]
                self.put([wait_again(record)])
        self.history.expire(now)

    def next_due(self) -> float | None:
        """Return when the next scheduled task is due, in seconds since 1970, or ``None``."""
        return self._due.next()

    async def ended(self, serial: int) -> Finished:
        """Wait until a task in flight ends, and return its record."""
        awaited = self._awaited.setdefault(serial, _Awaited())
        awaited.readers += 1
        try:
            await awaited.ended.wait()
        finally:
            awaited.readers -= 1
            if not awaited.readers and self._awaited.get(serial) is awaited:
                del self._awaited[serial]
        assert awaited.record is not None, "set before the event is"
        return awaited.record


class _Awaited:
    """The callers that wait for one task to end. ``record`` is set before ``ended`` is."""

    def __init__(self) -> None:
        self.readers = 0
        self.ended = trio.Event()
        self.record: Finished | None = None
