"""Pages of a listing: consecutive sections, one per state, and cursors that name a place in a section.

A cursor holds a section and the place of the last record that was listed, not a row number, so records that appear or
disappear before that place shift nothing. A cursor is opaque to clients, and is validated like any other input.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple, TypeVar

from ...errors import InvalidCursorError
from ...task import Finished, Following, Pending, Record, Running, Scheduled, State
from .. import Page, PageRequest
from .book import Book
from .by_priority import Place, place_of
from .start_order import START

EXAMINED_RECORDS_MAX: Final = 5_000
"""The largest number of records that a page with criteria examines. Examining one takes at most some 2 µs, so that a
page holds the loop for about 10 ms."""

R = TypeVar("R", bound=Record)

_CURSOR: Final = re.compile(r"(\w{1,20})\.(-?[0-9]{1,20})\.([0-9]{1,20})")


class Section(NamedTuple):
    """The records of one state, in an order that can be entered after any place (``None``: at the start)."""

    state: State
    after: Callable[[Place | None], Iterator[Record]]
    place_of: Callable[[Any], Place]


def list_page(book: Book, request: PageRequest, serial_last: int) -> Page:
    """Return at most ``limit`` records that match and follow the cursor.

    Parameters:
        book: the records.
        request: which records to list, and from where.
        serial_last: the serial that was drawn last.

    Raises:
        InvalidCursorError: the cursor does not belong to this listing.
    """
    states = request.states()
    sections = [section for section in _sections(book, request) if section.state in states]
    first, place = _enter(sections, request.cursor) if request.cursor is not None else (0, None)
    fill = _fill if _has_criteria(request) else _fill_with_all
    records, cursor = fill(sections[first:], place, request)
    return Page(records, cursor, serial_last)


def _has_criteria(request: PageRequest) -> bool:
    """Return whether a request leaves out some records of the states that it lists."""
    every = PageRequest(request.state, limit=request.limit, cursor=request.cursor)
    return request != every


def _fill_with_all(
    sections: Sequence[Section], place: Place | None, request: PageRequest
) -> tuple[list[Record], str | None]:
    """Return the first records behind the place, and the cursor of the next page."""
    records: list[Record] = []
    for section in sections:
        for record in islice(section.after(place), request.limit + 1 - len(records)):
            if len(records) == request.limit:
                return records, _cursor_behind(sections, records[-1])
            records.append(record)
        place = None
    return records, None


def _fill(sections: Sequence[Section], place: Place | None, request: PageRequest) -> tuple[list[Record], str | None]:
    """Return the first matching records behind the place, and the cursor of the next page."""
    matches, serial_max = request.matches, math.inf if request.serial_max is None else request.serial_max
    records: list[Record] = []
    last: Record | None = None
    left = EXAMINED_RECORDS_MAX
    for section in sections:
        for record in section.after(place):
            # The next page begins behind the last record that was examined, so that no record is examined twice.
            if last is not None and not left:
                return records, _cursor_behind(sections, last)
            if record.serial <= serial_max and matches(record):
                if last is not None and len(records) == request.limit:
                    return records, _cursor_behind(sections, last)
                records.append(record)
            last = record
            left -= 1
        place = None
    return records, None


def _sections(book: Book, request: PageRequest) -> list[Section]:
    """Return the sections of a listing, without some records that cannot match and are quick to leave out."""
    if request.name is not None:
        return _sections_of_name(book, request, request.name)
    return _every_section(book, request)


def _every_section(book: Book, request: PageRequest) -> list[Section]:
    def pending_after(place: Place | None) -> Iterator[Pending]:
        return book.pending.after(START if place is None else place, request.handler)

    def scheduled_after(place: Place | None) -> Iterator[Record]:
        return book.later.from_key(0 if place is None else place[1] + 1)

    def running_after(place: Place | None) -> Iterator[Running]:
        return _behind(place, _running_place, book.running.values())

    def finished_after(place: Place | None) -> Iterator[Finished]:
        return book.history.before(None if place is None else place[1], request.outcome)

    def finished_place(record: Finished) -> Place:
        return 0, book.history.number_of(record)

    return [
        Section(State.SCHEDULED, scheduled_after, _scheduled_place),
        Section(State.PENDING, pending_after, place_of),
        Section(State.RUNNING, running_after, _running_place),
        Section(State.FINISHED, finished_after, finished_place),
    ]


def _sections_of_name(book: Book, request: PageRequest, name: str) -> list[Section]:
    """Return the sections for one name. At most one task holds it and one follows, so only the history is scanned."""
    holder = book.holder(name)
    follower = None if holder is None else book.following.get(holder.serial)
    in_flight = [record for record in (holder, follower) if record is not None]

    def narrow(section: Section) -> Section:
        if section.state is State.FINISHED:
            return section
        here = [record for record in in_flight if record.state is section.state]
        return section._replace(after=lambda place: _behind(place, section.place_of, here))

    return [narrow(section) for section in _every_section(book, request)]


def _scheduled_place(record: Scheduled | Following) -> Place:
    return 0, record.serial


def _running_place(record: Running) -> Place:
    return int(record.started_at * 1_000_000), record.serial


def _behind(place: Place | None, place_of: Callable[[R], Place], records: Iterable[R]) -> Iterator[R]:
    """Sort a few records and return those after the place."""
    in_order = sorted(records, key=place_of)
    return iter(in_order if place is None else [record for record in in_order if place_of(record) > place])


def _cursor_behind(sections: Sequence[Section], last: Record) -> str:
    section = next(section for section in sections if section.state is last.state)
    return format_cursor(last.state, section.place_of(last))


def _enter(sections: Sequence[Section], cursor: str) -> tuple[int, Place]:
    states = [section.state for section in sections]
    state, place = parse_cursor(states, cursor)
    return states.index(state), place


def format_cursor(state: str, place: Place) -> str:
    """Return the cursor of a place in a section."""
    order, number = place
    return f"{state}.{order}.{number}"


def parse_cursor(states: Sequence[State], cursor: str) -> tuple[State, Place]:
    """Return the section and the place that a cursor names.

    Raises:
        InvalidCursorError: the text is not a place in a section of these states.
    """
    match = _CURSOR.fullmatch(cursor)
    if match is None or match[1] not in states:
        raise InvalidCursorError("`cursor` does not belong to this listing: take it unchanged from the Link header")
    return State(match[1]), (int(match[2]), int(match[3]))
