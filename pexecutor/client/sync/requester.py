"""``Requester``: send requests, repeat them while that is safe and may help, and raise errors with their names."""

from __future__ import annotations

from typing import TypeVar

import httpx2

from ...errors import PexecutorError, RefusedError
from ..decoding import decoded
from ..refusals import named_error
from ..repeating import Repeats
from ..requests import ApiRequest
from . import timing
from .http import HttpLink

T = TypeVar("T")


class Requester:
    """Requests of one client.

    Parameters:
        http: the connections to the server.
        retry_seconds_max: how long a request is repeated, from its first failure on.
    """

    def __init__(self, http: HttpLink, *, retry_seconds_max: float) -> None:
        self.http = http
        self._retry_seconds_max = retry_seconds_max

    def repeats(self, request: ApiRequest, *, until: float | None = None) -> Repeats:
        """Return the repetitions of a request, which end at the latest at ``until``."""
        return Repeats(request, now=timing.now, retry_seconds_max=self._retry_seconds_max, until=until)

    def ask(self, request: ApiRequest, kind: type[T], *, until: float | None = None) -> T:
        """Return the JSON of the reply as a value of a type."""
        return decoded((self._send(request, self.repeats(request, until=until))).content, kind)

    def reply(self, request: ApiRequest) -> httpx2.Response:
        """Return the reply."""
        return self._send(request, self.repeats(request))

    def perform(self, request: ApiRequest) -> None:
        """Send a request whose reply has no content."""
        repeats = self.repeats(request)
        try:
            self._send(request, repeats)
        except RefusedError as error:
            if not (repeats.made and error.status == request.done_status):
                raise

    def _send(self, request: ApiRequest, repeats: Repeats) -> httpx2.Response:
        while True:
            try:
                return self.http.send(request)
            except PexecutorError as error:
                self.pause(request, repeats, error)

    def pause(self, request: ApiRequest, repeats: Repeats, error: PexecutorError) -> None:
        """Wait before a failed request is sent again, or raise its error if it must not be sent again."""
        seconds = repeats.pause_after(error)
        if seconds is None:
            raise named_error(request, error) from error
        timing.sleep(seconds)
