"""``AsyncLines``: the lines of one reply, as they arrive."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2

from ..log_stream import LineSplitter
from ..replies import failure
from ..requests import ApiRequest
from .http import AsyncHttpLink


class AsyncLines:
    """The lines of one reply at a time. After the end of a reply or a lost connection, another one can be opened.

    Parameters:
        http: the connections to the server.
    """

    def __init__(self, http: AsyncHttpLink) -> None:
        self._http = http
        # Owned by open() and aclose(): the open reply, its chunks, and the part of a line that has arrived.
        self._reply: httpx2.Response | None = None
        self._chunks: AsyncIterator[bytes] | None = None
        self._splitter = LineSplitter()

    @property
    def is_open(self) -> bool:
        """Whether a reply is being read."""
        return self._reply is not None

    async def open(self, request: ApiRequest) -> None:
        """Send a request, to read the lines of its reply.

        Raises:
            RefusedError, UnreachableError: there is no such reply.
        """
        self._reply = await self._http.open(request)
        self._chunks = self._reply.aiter_bytes()
        self._splitter = LineSplitter()

    async def read(self) -> list[bytes] | None:
        """Return the lines that have arrived, also empty ones; ``None`` at the end of the reply.

        Raises:
            UnreachableError: the connection was lost.
        """
        assert self._chunks is not None, "no reply is open"
        try:
            chunk = await anext(self._chunks, None)
        except httpx2.RequestError as error:
            await self.aclose()
            raise failure(self._http.address.shown, error) from error
        if chunk is None:
            await self.aclose()
            return None
        return self._splitter.take(chunk)

    async def aclose(self) -> None:
        """Close the reply."""
        reply, self._reply, self._chunks = self._reply, None, None
        if reply is not None:
            await reply.aclose()
