"""Pages of a shared store: the server filters, so that only matching records travel (``functions/listing.lua``)."""

from __future__ import annotations

from typing import Final

import msgspec

from ...task import make_serial
from .. import Page, PageRequest
from ..local.listing import format_cursor, parse_cursor
from .calls import Calls
from .wire import PageReply

_NUMBER_MAX: Final = make_serial(1, 0) - 1


class TagArguments(msgspec.Struct, frozen=True, gc=False):
    """A tag, and its JSON, which a submitted task with this tag contains."""

    text: str
    json: str


class FilterArguments(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The criteria of a ``Filter`` besides the state, and the number of the last task that matches."""

    name: str | None = None
    outcome: str | None = None
    handler: str | None = None
    tags: list[TagArguments] | None = None
    name_prefix: str | None = None
    since: float | None = None
    before: float | None = None
    finished_since: float | None = None
    error: str | None = None
    number_max: int | None = None


async def read_page(calls: Calls, request: PageRequest) -> Page:
    """Return one page of records in listing order.

    Raises:
        InvalidCursorError: the cursor does not belong to this listing.
    """
    states = request.states()
    first, place = ("", (0, 0)) if request.cursor is None else parse_cursor(states, request.cursor)
    reply: PageReply = await calls.call(
        "page", states, filter_arguments(request, calls.tag), request.limit, first, *place
    )
    records = [calls.read(row) for row in reply.rows]
    last = reply.last
    cursor = None if isinstance(last, bool) else format_cursor(last.state, (last.order, last.number))
    return Page(records, cursor, make_serial(calls.tag, reply.acceptances) if reply.acceptances else 0)


def filter_arguments(request: PageRequest, tag: int) -> FilterArguments:
    """Return the filter of a page as the server gets it.

    Parameters:
        request: the request for the page.
        tag: the tag of the queue.
    """
    number_max = None if request.serial_max is None else request.serial_max - make_serial(tag, 0)
    return FilterArguments(
        name=request.name,
        outcome=request.outcome,
        handler=request.handler,
        tags=[TagArguments(text, msgspec.json.encode(text).decode()) for text in request.tags] or None,
        name_prefix=request.name_prefix,
        since=request.since,
        before=request.until,
        finished_since=request.finished_since,
        error=request.error,
        number_max=None if number_max is None else min(max(number_max, 0), _NUMBER_MAX),
    )
