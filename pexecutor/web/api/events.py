"""``GET /events``: what happens, as a stream of server-sent events.

A stream sends what there is, then pauses for a moment, so what happens in a burst goes out together. A message is made
once for all streams. A reader who does not keep up gets ``gap`` and then what happens from now on; one who does not
read at all is given up by the listener, like any client that stalls. Streams end with the drain, by themselves.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Final

import msgspec
import trio
from quart import Response
from quart_trio import QuartTrio

from ...config import Config
from ...core.executor import Executor
from ...observe.events import DrainBegun, Event, Feed, Gap, Happening, Reader, TaskProgress
from ...task import State
from ..serving.half_closed import ClientInput
from ..serving.quart_app import current_request
from .decode import decode_query
from .errors import TooManyStreamsError
from .wire import Progress as ProgressView
from .wire import view

HEARTBEAT_SECONDS: Final = 15.0
PAUSE_SECONDS: Final = 0.1
RECONNECT_MS: Final = 2000
EVENTS_AT_ONCE: Final = 512
"""With the pause, 5000 events a second; who wants to follow more of them misses some."""

HEARTBEAT: Final = b": still here\n\n"

_encode = msgspec.json.Encoder().encode


class EventsQuery(msgspec.Struct):
    """Which events.

    Parameters:
        name: only those of tasks with this name.
        state: only those of tasks that have come into this state.
    """

    name: str | None = None
    state: State | None = None


class EventRoutes:
    """The stream of events, and how many of it there are."""

    def __init__(self, executor: Executor, config: Config) -> None:
        self._feed = executor.events
        self._streams_max = config.event_streams_max
        self._streams = 0  # owned by _place()

    def add_to(self, app: QuartTrio) -> None:
        """Register it."""
        app.add_url_rule("/events", view_func=self.events, methods=["GET"])

    async def events(self) -> Response:
        """What happens from now on, or behind ``Last-Event-ID``."""
        request = current_request()
        query = decode_query(request.args.to_dict(flat=False), EventsQuery)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        stream: AsyncIterator[bytes] | bytes = b""
        if request.method == "GET":
            request.until_answered.enter_context(self._place())
            reading = self._feed.reading(after=_last_event_id(), wanted=_filter(query))
            stream = _stream(self._feed, request.until_answered.enter_context(reading), request.input)
        return Response(stream, headers=headers, content_type="text/event-stream")

    @contextmanager
    def _place(self) -> Iterator[None]:
        if self._streams >= self._streams_max:
            raise TooManyStreamsError(
                f"{self._streams_max} event streams are open, which is the limit: come back later"
            )
        self._streams += 1
        try:
            yield
        finally:
            self._streams -= 1


def _last_event_id() -> int | None:
    """What the reader says he has; one that we cannot have given him is none that we know."""
    given = current_request().headers.get("Last-Event-ID")
    if given is None:
        return None
    return int(given) if given.isascii() and given.isdecimal() and len(given) < 20 else -1


def _filter(query: EventsQuery) -> Callable[[Happening], bool] | None:
    if query == EventsQuery():
        return None

    def wanted(what: Happening) -> bool:
        match what:
            case DrainBegun() | Gap():
                return True
            case TaskProgress():
                return query.name in (None, what.name) and query.state in (None, State.RUNNING)
            case record:
                return query.name in (None, record.task.name) and query.state in (None, record.state)

    return wanted


async def _stream(feed: Feed, reader: Reader, client_input: ClientInput) -> AsyncIterator[bytes]:
    """Begin with the place of the reader, so that he can come back to it before anything has happened.

    When the client ends its sending side, a heartbeat goes out at once: it finds out whether anybody still reads.
    """
    yield b"id: %d\nretry: %d\n\n" % (max(reader.place, 0), RECONNECT_MS)
    while True:
        events: list[Event] = []
        try:
            with client_input.cut_short(HEARTBEAT_SECONDS):
                events = await reader.receive(EVENTS_AT_ONCE)
        except trio.EndOfChannel:
            return
        yield b"".join(map(_message, events)) or HEARTBEAT
        if not feed.ended:  # from then on, what is left goes out at once
            await trio.sleep(PAUSE_SECONDS)


def _message(event: Event) -> bytes:
    if not event.encoded:
        kind, data = content(event.what)
        event.encoded = b"id: %d\nevent: %b\ndata: %b\n\n" % (event.number, kind, data)
    return event.encoded


def content(what: Happening) -> tuple[bytes, bytes]:
    """What kind of event it is, and its data."""
    match what:
        case TaskProgress():
            progress = ProgressView(what.done, what.total)
            return b"progress", _encode({"id": what.id, "name": what.name, "progress": progress})
        case DrainBegun():
            return b"drain", b"{}"
        case Gap():
            return b"gap", b"{}"
        case record:
            return b"task", _encode(view(record))
