"""Send requests with the standard library, which loads much faster than the usual transport of the HTTP client.

The usual transport imports Trio, asyncio's streams and HTTP/2, which takes a third of the time of a whole command. It
still sends what this one cannot: requests over HTTPS or through a proxy, and streams of unknown length.
"""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import Final

import httpx2

STREAM_BYTES: Final = 64 * 1024


class DirectTransport(httpx2.BaseTransport):
    """A transport that sends each request over a connection of its own, with HTTP/1.1."""

    def __init__(self) -> None:
        self._usual: httpx2.BaseTransport | None = None

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request, and return the response, whose content is read as it arrives."""
        if not isinstance(request.stream, httpx2.ByteStream):
            self._usual = self._usual or httpx2.HTTPTransport(verify=False, trust_env=False)
            return self._usual.handle_request(request)
        limits = request.extensions["timeout"]
        url = request.url
        connection = http.client.HTTPConnection(
            url.raw_host.decode(), url.port or http.client.HTTP_PORT, timeout=limits["connect"]
        )
        with ExitStack() as opened:
            opened.enter_context(closing(connection))
            with _errors(httpx2.ConnectTimeout, httpx2.ConnectError):
                connection.connect()
            connection.sock.settimeout(limits["read"])
            with _errors(httpx2.ReadTimeout, httpx2.ReadError):
                # Closing the connection closes the reply only if the server keeps the connection open.
                reply = opened.enter_context(closing(_exchanged(connection, request)))
                stream = _Stream(reply, opened.pop_all())
                return httpx2.Response(reply.status, headers=reply.getheaders(), stream=stream)

    def close(self) -> None:
        """Close the usual transport, if it was used."""
        if self._usual is not None:
            self._usual.close()


class _Stream(httpx2.SyncByteStream):
    """The content of a response, read as it arrives."""

    def __init__(self, reply: http.client.HTTPResponse, opened: ExitStack) -> None:
        self._reply = reply
        self._opened = opened

    def __iter__(self) -> Iterator[bytes]:
        with _errors(httpx2.ReadTimeout, httpx2.ReadError):
            while data := self._reply.read1(STREAM_BYTES):
                yield data
        if self._reply.length:  # read1() does not check this
            raise httpx2.ReadError("the reply is incomplete")

    def close(self) -> None:
        """Close the connection."""
        self._opened.close()


def _exchanged(connection: http.client.HTTPConnection, request: httpx2.Request) -> http.client.HTTPResponse:
    target = request.url.raw_path.decode("ascii")
    connection.putrequest(request.method, target, skip_host=True, skip_accept_encoding=True)
    for name, value in request.headers.raw:
        connection.putheader(name, value)
    with suppress(BrokenPipeError, ConnectionResetError):  # a server may refuse a body before it has read all of it
        connection.endheaders(request.read())
    return connection.getresponse()


@contextmanager
def _errors(timeout: type[httpx2.TimeoutException], failure: type[httpx2.NetworkError]) -> Iterator[None]:
    """Raise the errors of the HTTP client instead of those of the standard library."""
    try:
        yield
    except TimeoutError as error:
        raise timeout(str(error)) from error
    except (OSError, http.client.HTTPException) as error:
        raise failure(str(error)) from error
