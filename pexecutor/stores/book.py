"""``Book``: everything that a local store knows, and plain code only: nothing in here awaits.

``put`` is the one way in which anything changes: it takes a record's old state out of its index and its new state into
one. The name follows: a task holds it from its first state on (a ``Following`` one from its second) to its end.

Who owns what, all of it changed by ``put`` alone:

* ``registry``: the serial of the task that holds a name;
* ``_records``: every record that can be read, by serial;
* ``pending``, ``later``, ``running``, ``history``: the same records, by state; ``later`` are those that are not due;
* ``following``: of these, those that follow another task.

Becoming due changes nothing that anybody has to agree on, so it needs no lock and no disk: whoever looks moves what is
due, and a record that says when it is due says it again after a restart.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import attrgetter

import trio

from ..registry import ShardedLockDict
from ..task import Finished, Following, Holder, Outcome, Pending, Record, Running, Scheduled
from .deadlines import Deadlines
from .history import History
from .lane import Lane
from .order import StartOrder


class Book:
    """The tasks of one process.

    Parameters:
        history_records_max: how many finished tasks to keep.
        history_seconds_max: for how long to keep one.
        history_bytes_max: how many bytes of results and output to keep in all.
        forget: called with the serial of each record that is no longer kept.
    """

    def __init__(
        self,
        *,
        history_records_max: int,
        history_seconds_max: float,
        history_bytes_max: int,
        forget: Callable[[int], None],
    ) -> None:
        self.registry: ShardedLockDict[int] = ShardedLockDict()
        self.pending = StartOrder()
        self.later: Lane[Scheduled | Following] = Lane(attrgetter("serial"))
        self.following: dict[int, Following] = {}  # by the serial of the task that is followed
        self.running: dict[int, Running] = {}
        self.history = History(
            records_max=history_records_max,
            seconds_max=history_seconds_max,
            bytes_max=history_bytes_max,
            forget=self._forget,
        )
        self.finished: defaultdict[str, Counter[Outcome]] = defaultdict(Counter)  # by handler
        self._records: dict[int, Record] = {}
        self._due = Deadlines()
        self._awaited: dict[int, _Awaited] = {}
        self.changed: Callable[[Record], None] = lambda _: None
        """Told of each record that is put in here, once everybody can see it."""
        self._tell_forgotten = forget

    @contextmanager
    def restoring(self) -> Iterator[None]:
        """While in here, records are put as an earlier life has left them: nobody is told, and no ending counts."""
        changed, self.changed = self.changed, lambda _: None
        try:
            yield
        finally:
            self.changed = changed
            self.finished.clear()

    def get(self, serial: int) -> Record | None:
        """The record with this serial, if it can be read."""
        return self._records.get(serial)

    def holder(self, name: str) -> Holder | None:
        """The task that holds a name."""
        serial = self.registry.get(name)
        record = None if serial is None else self._records[serial]
        assert not isinstance(record, Following | Finished), "neither holds a name"
        return record

    def waiting(self) -> int:
        """How many tasks take a place in the queue."""
        return len(self.pending) + len(self.later)

    def put(self, record: Record) -> None:
        """Make this the state of its task."""
        old = self._records.get(record.serial)
        self._records[record.serial] = record
        if old is not None:
            self._take_out(old)
        match record:
            case Pending():
                self.pending.add(record)
            case Scheduled():
                self.later.add(record)
                self._due.set(record.serial, record.due_at)
            case Following():
                self.later.add(record)
                self.following[record.follows] = record
            case Running():
                self.running[record.serial] = record
            case Finished():
                self._end(record)
        self._pass_name(old, record)
        self.changed(record)

    def _take_out(self, old: Record) -> None:
        match old:
            case Pending():
                self.pending.remove(old)
            case Scheduled():
                self.later.remove(old)
                self._due.forget(old.serial)
            case Following():
                self.later.remove(old)
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

    def _forget(self, record: Finished) -> None:
        del self._records[record.serial]
        self._tell_forgotten(record.serial)

    def _end(self, record: Finished) -> None:
        self.finished[record.task.handler][record.outcome] += 1
        if (awaited := self._awaited.pop(record.serial, None)) is not None:
            awaited.record = record
            awaited.ended.set()
        self.history.add(record)

    # Time

    def advance(self, now: float) -> None:
        """Make pending what is due, and forget what has been kept long enough."""
        for serial in self._due.pop_due(now):
            record = self._records[serial]
            self.put(Pending(record.serial, record.task, record.submitted_at, record.attempts))
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
