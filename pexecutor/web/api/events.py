"""``GET /events``: a stream of server-sent events.

A stream sends the events at hand, then pauses for a moment, so that the events of a burst are sent together. Each
message is encoded once for all streams. A reader that does not keep up gets ``gap``, and then the events from that time
on. A reader that does not read at all is disconnected by the listener, like any stalled client. Streams end by
themselves when the drain ends.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from typing import Final

import msgspec
import trio

from ...config import Config
from ...core.executor import Executor
from ...limits import times
from ...observe.events import (
    DrainBegun,
    Event,
    Feed,
    Gap,
    Happening,
    OccurrenceSkipped,
    Reader,
    Reloaded,
    TaskProgress,
    TasksPaused,
    TasksResumed,
)
from ...stores.find import Filter
from .client_input import ClientInput
from .filters import FilterQuery
from .limit_wire import pause_view, resumed_view
from .reply import Reply
from .request import IncomingRequest
from .schedule_wire import skipped_view
from .stream_places import StreamPlaces
from .wire import Progress as ProgressView
from .wire import view

HEARTBEAT_SECONDS: Final = times.HEARTBEAT_SECONDS
PAUSE_SECONDS: Final = 0.1
RECONNECT_MS: Final = 2000
EVENTS_AT_ONCE: Final = 512
"""How many events are sent before a pause. With the pause, a stream carries at most 5000 events a second."""

HEARTBEAT: Final = b": still here\n\n"
HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

_encode = msgspec.json.Encoder().encode


class EventAnswers:
    """Answers with event streams."""

    def __init__(self, executor: Executor, config: Config) -> None:
        self._feed = executor.events
        self._places = StreamPlaces(config.event_streams_max, "event stream", "close one")

    async def events(self, request: IncomingRequest) -> Reply:
        """Stream the events from now on, or those after ``Last-Event-ID``."""
        reply = Reply(b"", headers=HEADERS, content_type="text/event-stream")
        if request.method != "GET":
            return reply
        with ExitStack() as entered:
            entered.enter_context(self._places.reserved())
            reading = self._feed.reading(after=_last_event_id(request), wanted=_filter(request.query))
            stream = _stream(self._feed, entered.enter_context(reading), request.input)
            return reply._replace(content=stream, until_sent=entered.pop_all())


def _last_event_id(request: IncomingRequest) -> int | None:
    """Return the id of the last event that the reader has; -1 if the id is invalid, so the stream begins with a gap."""
    sent = request.header_values(b"last-event-id")
    if not sent:
        return None
    given = sent[0]
    return int(given) if given.isascii() and given.isdecimal() and len(given) < 20 else -1


def _filter(query: FilterQuery) -> Callable[[Happening], bool] | None:
    criteria = query.filter()
    if criteria == Filter():
        return None

    def wanted(what: Happening) -> bool:
        match what:
            case DrainBegun() | Gap():
                return True
            case TaskProgress():
                return criteria.matches(what.record)
            case OccurrenceSkipped() | TasksPaused() | TasksResumed() | Reloaded():
                return False  # they concern no single task
            case record:
                return criteria.matches(record)

    return wanted


async def _stream(feed: Feed, reader: Reader, client_input: ClientInput) -> AsyncIterator[bytes]:
    """Yield the messages of a stream.

    The first message holds the reader's place, so that the reader can resume there even before the first event. When
    the client ends its sending side, a heartbeat is sent at once: if the client is gone, its kernel resets the
    connection.
    """
    yield b"id: %d\nretry: %d\n\n" % (max(reader.place, 0), RECONNECT_MS)
    while True:
        events: list[Event] = []
        try:
            with client_input.until_input_ends(HEARTBEAT_SECONDS):
                events = await reader.receive(EVENTS_AT_ONCE)
        except trio.EndOfChannel:
            return
        yield b"".join(map(_message, events)) or HEARTBEAT
        if not feed.ended:  # after the feed's end, the remaining events are sent without pauses
            await trio.sleep(PAUSE_SECONDS)


def _message(event: Event) -> bytes:
    if not event.encoded:
        kind, data = content(event.what)
        event.encoded = b"id: %d\nevent: %b\ndata: %b\n\n" % (event.number, kind, data)
    return event.encoded


def content(what: Happening) -> tuple[bytes, bytes]:
    """Return the type of an event and its data."""
    match what:
        case TaskProgress():
            progress = ProgressView(what.done, what.total)
            return b"progress", _encode({"id": what.record.id, "name": what.record.task.name, "progress": progress})
        case OccurrenceSkipped():
            return b"skipped", _encode(skipped_view(what))
        case TasksPaused():
            return b"paused", _encode(pause_view(what))
        case TasksResumed():
            return b"resumed", _encode(resumed_view(what))
        case Reloaded():
            return b"reloaded", _encode(what)
        case DrainBegun():
            return b"drain", b"{}"
        case Gap():
            return b"gap", b"{}"
        case record:
            return b"task", _encode(view(record))
