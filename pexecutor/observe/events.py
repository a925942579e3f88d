"""``Feed``: the last events of tasks, for any number of readers.

All readers share one ring buffer, and a reader is only a position in it. So a slow reader costs nothing: once the ring
has overwritten its position, the reader receives a ``Gap`` and continues with the newest events. While the feed has no
reader, a change costs one entry of the ring.

Event numbers continue from the time, in microseconds, at which the feed was made. So a number from an earlier process
is lower than any number of this process, and a client that returns with it receives a gap.

Records in the ring lack the fields that no listing shows. So the ring keeps little alive that the history has dropped.

Road not taken: a channel for each reader. Memory would grow with the number of readers, and slow readers would have to
be dropped by some rule.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import msgspec
import trio

from ..task import Ending, Finished, Record, Running
from .batch_counts import Gathered

SMALL_RESULT_BYTES_MAX: Final = 32
"""The length of the longest result that stays in a record of the ring."""

EVENTS_MAX: Final = 10_000
"""The number of events in the ring."""


class TaskProgress(msgspec.Struct, frozen=True, gc=False):
    """The event that a running task reported progress."""

    record: Running
    done: float
    total: float | None


class DrainBegun(msgspec.Struct, frozen=True, gc=False):
    """The event that a drain has begun."""


class OccurrenceSkipped(msgspec.Struct, frozen=True, gc=False):
    """The event that an occurrence of a schedule was skipped, for another reason than the occurrence before it.

    Parameters:
        schedule: the name of the schedule.
        at: the time of the occurrence, in seconds since 1970.
        reason: why the occurrence was skipped.
        holder_id: the id of the task that held the name, if that is the reason.
    """

    schedule: str
    at: float
    reason: str
    holder_id: str | None = None


class TasksPaused(msgspec.Struct, frozen=True, gc=False):
    """The event that a handler was paused, or everything.

    Parameters:
        handler: the name of the handler; ``None`` for everything.
        since: when the pause began, in seconds since 1970.
        by: who asked for it.
    """

    handler: str | None
    since: float
    by: str


class TasksResumed(msgspec.Struct, frozen=True, gc=False):
    """The event that the pause of a handler, or that of everything, has ended; ``by`` asked for it."""

    handler: str | None
    by: str


class SettingChange(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A setting that a reload has changed, without its values.

    Parameters:
        setting: the name of the setting.
        added, changed, removed: the names of the tables that were added, changed and removed, if it consists of tables.
    """

    setting: str
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def text(self) -> str:
        """Return the change as one line, such as ``tokens: added ci, removed old``."""
        parts = {"added": self.added, "changed": self.changed, "removed": self.removed}
        shown = ", ".join(f"{verb} {' '.join(names)}" for verb, names in parts.items() if names)
        return f"{self.setting}: {shown}" if shown else self.setting


class Reloaded(msgspec.Struct, frozen=True, gc=False):
    """What a reload of the settings has changed. It is also an event.

    Parameters:
        changed: the settings that have changed, and are in effect.
        restart_needed: the settings that have changed, and take effect at the next restart.
    """

    changed: tuple[SettingChange, ...] = ()
    restart_needed: tuple[str, ...] = ()


class Gap(msgspec.Struct, frozen=True, gc=False):
    """The event that a reader has missed events and must read the state of tasks anew."""


Happening = Record | TaskProgress | DrainBegun | OccurrenceSkipped | TasksPaused | TasksResumed | Reloaded | Gap
"""What an event reports. A record reports the change that produced the record."""


class Event(msgspec.Struct, gc=False):
    """A numbered event. The first reader that encodes it stores the bytes in ``encoded`` for the other readers."""

    number: int
    what: Happening
    encoded: bytes = b""


class Feed:
    """A ring of the last events, with its readers.

    Parameters:
        begin: the number before the first event's number; ``None`` for the present time in microseconds.
        events_max: how many events the ring holds.
    """

    def __init__(self, *, begin: int | None = None, events_max: int = EVENTS_MAX) -> None:
        self._last = time.time_ns() // 1000 if begin is None else begin
        self.ended: bool = False
        # Changed by put() and _enter(). The event with the number n is at the index n % length. It becomes an Event
        # when it is first read, as most events are never read.
        self._ring: list[Event | Happening | None] = [None] * events_max
        self._begin = self._last
        self._gathered: Gathered[Record] = Gathered(self._enter)  # always empty while the feed has a reader
        self._readers = 0
        self._news = trio.lowlevel.ParkingLot()
        self._first_reader = trio.lowlevel.ParkingLot()

    @property
    def last(self) -> int:
        """Return the number of the last event."""
        self._gathered.settle()
        return self._last

    def put(self, what: Happening) -> None:
        """Add an event with the next number."""
        self._gathered.settle()
        self._last += 1
        self._ring[self._last % len(self._ring)] = what if isinstance(what, _BARE) else _strip(what)
        if self._news:
            self._news.unpark_all()

    def put_all(self, records: Sequence[Record]) -> None:
        """Add the events of some changes, in order."""
        self._gathered.add_all(records)
        if self._readers:
            self._gathered.settle()

    def _enter(self, records: Sequence[Record]) -> None:
        """Write records into the ring, in slices that do not cross its end."""
        left, length = _strip_all(records), len(self._ring)
        while left:
            place = (self._last + 1) % length
            part, left = left[: length - place], left[length - place :]
            self._ring[place : place + len(part)] = part
            self._last += len(part)
        if self._news:
            self._news.unpark_all()

    def end(self) -> None:
        """End the feed: readers end once they have read all events."""
        self.ended = True
        self._news.unpark_all()

    @contextmanager
    def reading(
        self, *, after: int | None = None, wanted: Callable[[Happening], bool] | None = None
    ) -> Iterator[Reader]:
        """Open a reader of the events after a number, or of the events from now on.

        Parameters:
            after: the number of the last event that was read. If the events after it are gone, the reader begins with a
                gap.
            wanted: a predicate of the events to return; a gap is always returned.
        """
        self._gathered.settle()
        self._readers += 1
        self._first_reader.unpark_all()
        try:
            yield Reader(self, self._last if after is None else after, wanted)
        finally:
            self._readers -= 1

    async def wait_for_reader(self) -> None:
        """Return as soon as the feed has a reader."""
        await trio.lowlevel.checkpoint()
        while not self._readers:
            await self._first_reader.park()

    async def news(self) -> None:
        """Return when the next event is added, or the feed ends."""
        await self._news.park()

    def holds_all_after(self, number: int) -> bool:
        """Return whether the ring still holds every event after this number."""
        return max(self._begin, self._last - len(self._ring)) <= number <= self._last

    def at(self, number: int) -> Event:
        """Return the event with a number that the ring still holds."""
        place = number % len(self._ring)
        event = self._ring[place]
        assert event is not None
        if not isinstance(event, Event):
            event = self._ring[place] = Event(number, event)
        return event


class Reader:
    """A position in a feed; see ``Feed.reading``."""

    def __init__(self, feed: Feed, place: int, wanted: Callable[[Happening], bool] | None) -> None:
        self._feed = feed
        self._wanted = wanted
        self.place: int = place
        """The number of the last event that this reader has looked at."""

    async def receive(self, events_max: int) -> list[Event]:
        """Wait for the next events, and return at least one and at most ``events_max`` of them.

        Raises:
            trio.EndOfChannel: the feed has ended, and this reader has read all events.
        """
        await trio.lowlevel.checkpoint()
        while not (events := self.receive_nowait(events_max)):
            if self._feed.ended:
                raise trio.EndOfChannel
            await self._feed.news()
        return events

    def receive_nowait(self, events_max: int) -> list[Event]:
        """Return the next events, at most ``events_max``; an empty list if there are none yet."""
        feed = self._feed
        if not feed.holds_all_after(self.place):
            self.place = feed.last
            return [Event(self.place, Gap())]
        taken: list[Event] = []
        while self.place < feed.last and len(taken) < events_max:
            self.place += 1
            event = feed.at(self.place)
            if self._wanted is None or self._wanted(event.what):
                taken.append(event)
        return taken


_BARE: Final = (TaskProgress, DrainBegun, OccurrenceSkipped, TasksPaused, TasksResumed, Reloaded, Gap)


def _strip_all(records: Sequence[Record]) -> Sequence[Record]:
    """Strip records; return a sequence without anything to strip as it is, which is the common case."""
    endings = {id(record.ending): record.ending for record in records if type(record) is Finished}
    if all(map(_is_small, endings.values())) and not any([record.task.params for record in records]):  # noqa: C419
        return records
    return [_strip(record) for record in records]


def _is_small(ending: Ending) -> bool:
    return ending.output is None and (ending.result is None or len(ending.result) <= SMALL_RESULT_BYTES_MAX)


def _strip(record: Record) -> Record:
    """Return the record without the fields that no listing shows: params, large results and outputs."""
    if record.task.params:
        record = msgspec.structs.replace(record, task=msgspec.structs.replace(record.task, params={}))
    if isinstance(record, Finished) and not _is_small(record.ending):
        record = msgspec.structs.replace(
            record, ending=msgspec.structs.replace(record.ending, result=None, output=None)
        )
    return record
