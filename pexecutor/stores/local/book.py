"""``Book``: everything that a local store knows, and plain code only: nothing in here awaits.

``put`` is the way in which everything changes: it takes a record's old state out of its index and its new state into
one. The name follows: a task holds it from its first state on (a ``Following`` one from its second) to its end.
What happens to nearly every task, and to many at once, has a short way each, which comes to the same: ``accept``,
``start`` and ``end``.

Who owns what, all of it changed by these four alone:

* ``registry``: the serial of the task that holds a name;
* ``_records``: every record that can be read, by serial;
* ``pending``, ``later``, ``running``, ``history``: the same records, by state; ``later`` are those that are not due;
* ``following``: of these, those that follow another task;
* ``crashed``: of these, those in flight that have a crash (see ``crashes.py``); nearly always empty.

Becoming due changes nothing that anybody has to agree on, so it needs no lock and no disk: whoever looks moves what is
due, and a record that says when it is due says it again after a restart.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import trio

from ...observe.batch_counts import Gathered, by_handler, how_often
from ...task import Finished, Following, Holder, Outcome, Pending, Record, Running, Scheduled, wait_again
from .chunked_dict import BySerial
from .deadlines import Deadlines
from .history import History
from .registry import ShardedLockDict
from .sorted_serials import Lane
from .start_order import StartOrder


class Book:
    """The tasks of one process.

    Parameters:
        history_records_max: how many finished tasks to keep.
        history_seconds_max: for how long to keep one.
        history_bytes_max: how many bytes of params, errors, attempts, results and output to keep in all.
        forget: called with the serials of records that are no longer kept.
    """

    def __init__(
        self,
        *,
        history_records_max: int,
        history_seconds_max: float,
        history_bytes_max: int,
        forget: Callable[[Sequence[int]], None],
    ) -> None:
        self.registry: ShardedLockDict[int] = ShardedLockDict()
        self._records: BySerial[Record] = BySerial()
        self.pending: StartOrder = StartOrder(self._records)
        self.later: Lane[Record] = Lane(self._records)
        self.following: dict[int, Following] = {}  # by the serial of the task that is followed
        self.running: dict[int, Running] = {}
        self.crashed: dict[int, Record] = {}
        self.history: History = History(
            records_max=history_records_max,
            seconds_max=history_seconds_max,
            bytes_max=history_bytes_max,
            forget=self._forget,
        )
        self._finished: defaultdict[str, Counter[Outcome]] = defaultdict(Counter)  # by handler
        self._ended = Gathered(self._count)
        self._due = Deadlines()
        self._awaited: dict[int, _Awaited] = {}
        self.changed: Callable[[Sequence[Record]], None] = lambda _: None
        """Told of the records that are put in here, in their order, once everybody can see them."""
        self._tell_forgotten = forget

    @contextmanager
    def restoring(self) -> Iterator[None]:
        """While in here, records are put as an earlier life has left them: nobody is told, and no ending counts."""
        changed, self.changed = self.changed, lambda _: None
        try:
            yield
        finally:
            self.changed = changed
            self.finished().clear()

    def get(self, serial: int) -> Record | None:
        """The record with this serial, if it can be read."""
        record: Record | None = self._records.get(serial)
        return record

    def holder(self, name: str) -> Holder | None:
        """The task that holds a name."""
        serial = self.registry.get(name)
        record = None if serial is None else self._records[serial]
        assert not isinstance(record, Following | Finished), "neither holds a name"
        return record

    def finished(self) -> dict[str, Counter[Outcome]]:
        """How many tasks have ended, by handler and outcome."""
        self._ended.settle()
        return self._finished

    def _count(self, records: Sequence[Finished]) -> None:
        for handler, those in by_handler(records):
            finished = self._finished[handler]
            for outcome, times in how_often([record.ending.outcome for record in those]):
                finished[outcome] += times

    def waiting(self) -> int:
        """How many tasks take a place in the queue."""
        return len(self.pending) + len(self.later)

    def put(self, records: Sequence[Record]) -> None:
        """Make these the states of their tasks."""
        for record in records:
            self._put(record)
        self.changed(records)

    def accept(self, records: Sequence[Pending]) -> None:
        """Put tasks that are new and whose names are free, in ascending order of acceptance."""
        serials = [record.serial for record in records]
        self._records.put_all(serials, records)
        self.pending.add_all(records)
        self.registry.hold_all([record.task.name for record in records], serials)
        self.changed(records)

    def start(self, records: Sequence[Running]) -> None:
        """Put tasks that were the first of the pending ones, in start order."""
        serials = [record.serial for record in records]
        self._records.put_all(serials, records)
        self.pending.remove_first(len(records))
        self.running.update(zip(serials, records, strict=True))
        self.changed(records)

    def end(self, records: Sequence[Finished]) -> None:
        """Put the ends of tasks that were running and are not followed."""
        serials = [record.serial for record in records]
        self._records.put_all(serials, records)
        running = self.running
        for serial in serials:
            del running[serial]
        self._ended.add_all(records)
        if self._awaited:
            for record in records:
                self._tell_awaiting(record)
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
            case Finished():
                self._end(record)
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

    def _pass_name(self, old: Record | None, record: Record) -> None:
        """Take the name with the first state that holds it, and free it with the last one."""
        held = old is not None and not isinstance(old, Following)
        holds = not isinstance(record, Following | Finished)
        if holds and not held:
            self.registry[record.task.name] = record.serial
        elif held and not holds:
            del self.registry[record.task.name]

    def _forget(self, records: Sequence[Finished]) -> None:
        serials = [record.serial for record in records]
        self._records.remove_all(serials)
        self._tell_forgotten(serials)

    def _end(self, record: Finished) -> None:
        self._ended.add_all([record])
        self._tell_awaiting(record)
        self.history.add([record])

    def _tell_awaiting(self, record: Finished) -> None:
        if (awaited := self._awaited.pop(record.serial, None)) is not None:
            awaited.record = record
            awaited.ended.set()

    # Time

    def advance(self, now: float) -> None:
        """Make pending what is due, and forget what has been kept long enough."""
        if self._due:
            for serial in self._due.pop_due(now):
                record = self._records[serial]
                self.put([wait_again(record)])
        self.history.expire(now)

    def next_due(self) -> float | None:
        """When the next scheduled task is due, in seconds since 1970."""
        return self._due.next()

    async def ended(self, serial: int) -> Finished:
        """Wait for a task in flight to end."""
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
    """Those who wait for one task to end. ``record`` is there once ``ended`` is set."""

    def __init__(self) -> None:
        self.readers = 0
        self.ended = trio.Event()
        self.record: Finished | None = None
