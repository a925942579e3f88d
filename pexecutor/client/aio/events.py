"""``AsyncEvents``: iterate over the events of a server, over lost connections and restarts."""

from __future__ import annotations

from collections import deque
from types import TracebackType
from typing import Self

from ...errors import ForeignReplyError, PexecutorError, UnreachableError
from .. import requests
from ..event_stream import EventParser, ServerEvent
from ..repeating import Repeats
from .lines import AsyncLines
from .requester import AsyncRequester


class AsyncEvents:
    """The events of a server, in their order. A ``GapEvent`` says that events were missed.

    After a lost connection the events go on where they were. Use it as a context manager: the events then begin
    with the ``with`` statement, instead of the first step of the loop, and the connection is closed at its end.
    """

    def __init__(self, requester: AsyncRequester, criteria: requests.Query, after: int | None) -> None:
        self._requester = requester
        self._criteria = criteria
        # Owned by _read(): the parser, which knows the last event, the events at hand, and how to go on.
        self._parser = EventParser()
        self._parser.last_id = after
        self._events: deque[ServerEvent] = deque()
        self._closed = False
        self._repeats: Repeats | None = None
        self._lines = AsyncLines(requester.http)

    async def __aenter__(self) -> Self:
        while not self._lines.is_open:
            await self._read()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ServerEvent:
        while not self._events:
            if self._closed:
                raise StopAsyncIteration
            await self._read()
        return self._events.popleft()

    async def aclose(self) -> None:
        """Stop reading."""
        self._closed = True
        self._events.clear()
        await self._lines.aclose()

    async def _read(self) -> None:
        request = requests.events(self._criteria, self._parser.last_id)
        self._repeats = self._repeats or self._requester.repeats(request)
        try:
            if not self._lines.is_open:
                await self._lines.open(request)
                self._parser.begin()
            lines = await self._lines.read()
            if lines is None:
                raise UnreachableError("the server has ended its stream of events")
            self._events.extend(event for line in lines if (event := self._parser.take(line)) is not None)
        except ForeignReplyError:
            await self.aclose()
            raise
        except PexecutorError as error:
            await self._requester.pause(request, self._repeats, error)
        else:
            self._repeats = None
