"""``Feed``: what happens to tasks, for whoever reads along.

There is one ring for all readers, and a reader is no more than a place in it. So nothing is kept for anybody, and a
slow reader costs nothing: once the ring has gone on over his place, he is told of a gap and goes on from there. While
nobody reads, a change costs one place in the ring.

Numbers count on from the microsecond in which the feed was made. A number from an earlier process is therefore lower
than all of this one's, and whoever comes back with it is told of the gap.

What lies in the ring is stripped of what no listing shows, so it does not keep alive much that history has let go.

Road not taken: a channel for each reader. Memory would grow with the readers, and somebody would have to decide whom to
drop and when.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import msgspec
import trio

from ..task import Ending, Finished, Record
from .batch_counts import Gathered

SMALL_RESULT_BYTES_MAX: Final = 32
"""Up to here a result is kept as it is."""

EVENTS_MAX: Final = 10_000
"""How many events the ring holds."""


class TaskProgress(msgspec.Struct, frozen=True, gc=False):
    """A running task has told how far it is."""

    id: str
    name: str
    done: float
    total: float | None


class DrainBegun(msgspec.Struct, frozen=True, gc=False):
    """The stop has begun."""


class Gap(msgspec.Struct, frozen=True, gc=False):
    """Events were missed: what is known from before has to be read anew."""


Happening = Record | TaskProgress | DrainBegun | Gap
"""A record stands for the change that made it what it is."""


class Event(msgspec.Struct, gc=False):
    """Something that has happened; ``encoded`` is for whoever encodes it first to keep it for the others."""

    number: int
    what: Happening
    encoded: bytes = b""


class Feed:
    """The last events, and those who read them.

    Parameters:
        begin: the number before the first one.
        events_max: how many to hold.
    """

    def __init__(self, *, begin: int | None = None, events_max: int = EVENTS_MAX) -> None:
        self._last = time.time_ns() // 1000 if begin is None else begin
        self.ended: bool = False
        # Changed by put() and _enter(): what has the number n is at n modulo the ring's length, as an event once it
        # has been read.
        self._ring: list[Event | Happening | None] = [None] * events_max
        self._begin = self._last
        self._untold: Gathered[Record] = Gathered(self._enter)  # empty while somebody reads
        self._readers = 0
        self._news = trio.lowlevel.ParkingLot()
        self._first_reader = trio.lowlevel.ParkingLot()

    @property
    def last(self) -> int:
        """The number of the last event."""
        self._untold.settle()
        return self._last

    def put(self, what: Happening) -> None:
        """Tell of something, with the next number."""
        self._untold.settle()
        self._last += 1
        self._ring[self._last % len(self._ring)] = what if isinstance(what, _BARE) else _strip(what)
        if self._news:
            self._news.unpark_all()

    def put_all(self, records: Sequence[Record]) -> None:
        """Tell of some changes, in their order."""
        self._untold.add_all(records)
        if self._readers:
            self._untold.settle()

    def _enter(self, records: Sequence[Record]) -> None:
        told, length = _strip_all(records), len(self._ring)
        while told:
            place = (self._last + 1) % length
            part, told = told[: length - place], told[length - place :]
            self._ring[place : place + len(part)] = part
            self._last += len(part)
        if self._news:
            self._news.unpark_all()

    def end(self) -> None:
        """Nothing more will happen: readers end when they have read what there is."""
        self.ended = True
        self._news.unpark_all()

    @contextmanager
    def reading(
        self, *, after: int | None = None, wanted: Callable[[Happening], bool] | None = None
    ) -> Iterator[Reader]:
        """A reader of what happens from now on, or of all behind a number.

        Parameters:
            after: the last number that was read; one that is not known here begins with a gap.
            wanted: which events to hand out; a gap always is.
        """
        self._untold.settle()
        self._readers += 1
        self._first_reader.unpark_all()
        try:
            yield Reader(self, self._last if after is None else after, wanted)
        finally:
            self._readers -= 1

    async def read_by_anybody(self) -> None:
        """Return when there is a reader."""
        await trio.lowlevel.checkpoint()
        while not self._readers:
            await self._first_reader.park()

    async def news(self) -> None:
        """Return when something has been put, or at the end."""
        await self._news.park()

    def holds_all_behind(self, number: int) -> bool:
        """Whether every event behind this number is still here."""
        return max(self._begin, self._last - len(self._ring)) <= number <= self._last

    def at(self, number: int) -> Event:
        """The event with a number that is still here."""
        place = number % len(self._ring)
        event = self._ring[place]
        assert event is not None
        if not isinstance(event, Event):
            event = self._ring[place] = Event(number, event)
        return event


class Reader:
    """A place in a feed; see ``Feed.reading``."""

    def __init__(self, feed: Feed, place: int, wanted: Callable[[Happening], bool] | None) -> None:
        self._feed = feed
        self._wanted = wanted
        self.place: int = place
        """The number of the event that was looked at last."""

    async def receive(self, events_max: int) -> list[Event]:
        """Wait for the next events; at least one, and at most so many.

        Raises:
            trio.EndOfChannel: the feed has ended, and all of it was read.
        """
        await trio.lowlevel.checkpoint()
        while not (events := self.receive_nowait(events_max)):
            if self._feed.ended:
                raise trio.EndOfChannel
            await self._feed.news()
        return events

    def receive_nowait(self, events_max: int) -> list[Event]:
        """The next events, at most so many; there may be none."""
        feed = self._feed
        if not feed.holds_all_behind(self.place):
            self.place = feed.last
            return [Event(self.place, Gap())]
        taken: list[Event] = []
        while self.place < feed.last and len(taken) < events_max:
            self.place += 1
            event = feed.at(self.place)
            if self._wanted is None or self._wanted(event.what):
                taken.append(event)
        return taken


_BARE: Final = (TaskProgress, DrainBegun, Gap)


def _strip_all(records: Sequence[Record]) -> Sequence[Record]:
    """The same of many, of which most have nothing to be stripped of."""
    endings = {id(record.ending): record.ending for record in records if type(record) is Finished}
    if all(map(_is_small, endings.values())) and not any([record.task.params for record in records]):  # noqa: C419
        return records
    return [_strip(record) for record in records]


def _is_small(ending: Ending) -> bool:
    return ending.output is None and (ending.result is None or len(ending.result) <= SMALL_RESULT_BYTES_MAX)


def _strip(record: Record) -> Record:
    """The record without what no listing shows of it."""
    if record.task.params:
        record = msgspec.structs.replace(record, task=msgspec.structs.replace(record.task, params={}))
    if isinstance(record, Finished) and not _is_small(record.ending):
        record = msgspec.structs.replace(
            record, ending=msgspec.structs.replace(record.ending, result=None, output=None)
        )
    return record
