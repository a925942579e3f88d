"""``AsyncLines``: the lines of one reply, as they arrive."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import suppress

import httpx2

from ..line_splitter import LineSplitter
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
            ForeignReplyError: a line is over the limit; the reply is still open.
        """
        assert self._chunks is not None, "no reply is open"
        try:
            chunk = await anext(self._chunks, None)
        except httpx2.RequestError as error:
            self._reply = None
            raise failure(self._http.address.shown, error) from error
        if chunk is None:
            self._reply = None
            return None
        return self._splitter.take(chunk)

    async def aclose(self) -> None:
        """Close the reply.

        The iterators of HTTPX end only by themselves: Trio warns about one that is left in the middle. So the
        connection is shut down under them, and they are read to their end, which is an error unless the whole reply
        has arrived. The socket is not closed: HTTPX looks at it before it closes the connection.
        """
        reply, self._reply = self._reply, None
        if reply is None or self._chunks is None:
            return
        try:
            with suppress(OSError):  # the server may have closed the connection
                reply.extensions["network_stream"].get_extra_info("socket").shutdown(socket.SHUT_RDWR)
            with suppress(httpx2.RequestError):
                while await anext(self._chunks, None) is not None:
                    pass
        finally:
            await reply.aclose()
