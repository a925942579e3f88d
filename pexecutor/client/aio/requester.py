"""``AsyncRequester``: send requests, repeat them while that is safe and may help, and raise errors with their names."""

from __future__ import annotations

from typing import TypeVar

import httpx2

from ...errors import PexecutorError, RefusedError
from ..decoding import decoded
from ..refusals import named_error
from ..repeating import Repeats
from ..requests import ApiRequest
from . import timing
from .http import AsyncHttpLink

T = TypeVar("T")


class AsyncRequester:
    """Requests of one client.

    Parameters:
        http: the connections to the server.
        retry_seconds_max: how long a request is repeated, from its first failure on.
    """

    def __init__(self, http: AsyncHttpLink, *, retry_seconds_max: float) -> None:
        self.http = http
        self._retry_seconds_max = retry_seconds_max

    def repeats(self, request: ApiRequest, *, until: float | None = None) -> Repeats:
        """Return the repetitions of a request, which end at the latest at ``until``."""
        return Repeats(request, now=timing.now, retry_seconds_max=self._retry_seconds_max, until=until)

    async def ask(self, request: ApiRequest, kind: type[T], *, until: float | None = None) -> T:
        """Return the JSON of the reply as a value of a type."""
        return decoded((await self._send(request, self.repeats(request, until=until))).content, kind)

    async def reply(self, request: ApiRequest) -> httpx2.Response:
        """Return the reply."""
        return await self._send(request, self.repeats(request))

    async def perform(self, request: ApiRequest) -> None:
        """Send a request whose reply has no content."""
        repeats = self.repeats(request)
        try:
            await self._send(request, repeats)
        except RefusedError as error:
            if not (repeats.made and error.status == request.done_status):
                raise

    async def _send(self, request: ApiRequest, repeats: Repeats) -> httpx2.Response:
        while True:
            try:
                return await self.http.send(request)
            except PexecutorError as error:
                await self.pause(request, repeats, error)

    async def pause(self, request: ApiRequest, repeats: Repeats, error: PexecutorError) -> None:
        """Wait before a failed request is sent again, or raise its error if it must not be sent again."""
        seconds = repeats.pause_after(error)
        if seconds is None:
            raise named_error(request, error) from error
        await timing.sleep(seconds)
