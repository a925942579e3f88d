"""Pages of a listing: sections one after the other, and cursors that name a place in one.

A cursor is a section and the place of the last record seen there, not a row count: what comes or goes before it
shifts nothing. It is opaque to whoever carries it, and checked like any other input when it comes back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

from ..errors import InvalidCursorError
from ..task import Record, State
from . import Page

Place = tuple[int, int]
"""Where a record stands in its section; no two share one."""

_CURSOR: Final = re.compile(r"(\w{1,20})\.(-?[0-9]{1,20})\.([0-9]{1,20})")


class Section(NamedTuple):
    """The records of one state, in an order that can be entered behind any place (``None``: at the start)."""

    state: State
    after: Callable[[Place | None], Iterator[Record]]
    place_of: Callable[[Any], Place]


def list_page(sections: Sequence[Section], *, limit: int, cursor: str | None) -> Page:
    """At most ``limit`` records from behind the cursor on.

    Raises:
        InvalidCursorError: none of these sections gave out this cursor.
    """
    first, place = _parse_cursor(sections, cursor) if cursor is not None else (0, None)
    records: list[Record] = []
    for section in sections[first:]:
        for record in islice(section.after(place), limit + 1 - len(records)):
            if len(records) == limit:
                return Page(records, _format_cursor(sections, records[-1]))
            records.append(record)
        place = None
    return Page(records, None)


def _format_cursor(sections: Sequence[Section], last: Record) -> str:
    section = next(section for section in sections if section.state is last.state)
    order, number = section.place_of(last)
    return f"{last.state}.{order}.{number}"


def _parse_cursor(sections: Sequence[Section], cursor: str) -> tuple[int, Place]:
    if (match := _CURSOR.fullmatch(cursor)) is not None:
        for index, section in enumerate(sections):
            if section.state == match[1]:
                return index, (int(match[2]), int(match[3]))
    raise InvalidCursorError("`cursor` is not one that this listing gave: take it from the Link header as it is")
