"""Parse requests with ``httptools``, which wraps llhttp, and refuse what llhttp accepts but this server does not.

llhttp itself refuses: a length that is declared in two ways, repeated or not a number; invalid chunk sizes; folded
headers; lines that end without CR or without LF; control characters; spaces before a colon. This module also demands
one host, HTTP/1.0 or 1.1, no transfer coding except ``chunked``, a head of bounded length, and bounded framing around
the chunks of a body. Trailers after a chunked body are dropped: no code reads them, and they must not be taken for
headers.

After a refusal, nothing more is parsed. The requests before it are answered, then the refusal is sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import httptools

from .request import Body, Ends, Headers, Request

HEAD_BYTES_MAX: Final = 16 * 1024
FRAMING_BYTES_MAX: Final = 16 * 1024
"""How many bytes the framing of a body may have in all, beyond ``CHUNK_FRAMING_BYTES`` for each chunk."""

CHUNK_FRAMING_BYTES: Final = 16
BYTES_PARSED_AT_ONCE: Final = 16 * 1024
"""The limits are checked after each such part, because llhttp does not report its position."""

LENGTH_DIGITS_MAX: Final = 20
BYTES_BETWEEN: Final = 4
"""The bytes of a header line besides the name and the value: colon, space, CR and LF."""


class Refusal(NamedTuple):
    """The error reply after which a connection ends."""

    status: int
    detail: str


INVALID_HTTP: Final = "the request is not valid HTTP/1.1"
HEAD_TOO_LARGE: Final = Refusal(431, "the headers of the request are too large: send fewer or shorter headers")
LENGTH_TOO_LONG: Final = Refusal(400, f"{INVALID_HTTP}: Content-Length has too many digits")
UNKNOWN_CODING: Final = Refusal(501, "unsupported Transfer-Encoding: send Content-Length, or use chunked")
FRAMING_TOO_LARGE: Final = Refusal(400, f"{INVALID_HTTP}: the framing of its chunks is too large; send larger chunks")


class _RefusedError(Exception):
    """Stops llhttp after a refusal has been recorded."""


class Parser:
    """Parses the input of one connection into requests.

    Parameters:
        ends: the addresses of the client and the server.
        read_on: makes the connection read more of a request's body.
    """

    def __init__(self, ends: Ends, read_on: Callable[[], Awaitable[None]]) -> None:
        self.requests: deque[Request] = deque()
        self.refusal: Refusal | None = None
        self.ends = ends
        self.is_between: bool = True
        """Whether the parser is between two requests, and not inside one."""
        self._read_on = read_on
        self._llhttp = httptools.HttpRequestParser(self)
        # Of the message that is being parsed.
        self._target = b""
        self._headers: Headers = {}
        self._head_bytes = 0
        self._body: Body | None = None
        self._framing_bytes = 0
        self._head_without_offer = b""

    def feed(self, data: bytes) -> None:
        """Parse some input; the results are in ``requests`` and ``refusal``."""
        for begin in range(0, len(data), BYTES_PARSED_AT_ONCE):
            if self.refusal is None:
                self._parse(data[begin : begin + BYTES_PARSED_AT_ONCE])

    def _parse(self, data: bytes) -> None:
        self._framing_bytes += len(data)
        while data:
            data = self._feed_llhttp(data)
        if self.refusal is None:
            self._bound_framing()

    def _feed_llhttp(self, data: bytes) -> bytes:
        """Feed some bytes to llhttp; return the bytes to feed next."""
        try:
            self._llhttp.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # llhttp stops at an offer to upgrade. The offer is ignored: parse the head again, without the offer.
            self._llhttp = httptools.HttpRequestParser(self)
            again, self._head_without_offer = self._head_without_offer, b""
            return again + data[upgrade.args[0] :]
        except httptools.HttpParserCallbackError:
            if self.refusal is None:
                raise
        except httptools.HttpParserError as error:
            self.refusal = self.refusal or Refusal(400, f"{INVALID_HTTP}: {error}")
        return b""

    def _bound_framing(self) -> None:
        if self._body is None and self._framing_bytes > HEAD_BYTES_MAX:
            self.refusal = HEAD_TOO_LARGE
        elif self._framing_bytes > FRAMING_BYTES_MAX:
            self.refusal = FRAMING_TOO_LARGE

    def _refuse(self, refusal: Refusal) -> None:
        self.refusal = refusal
        raise _RefusedError

    # Called by llhttp

    def on_message_begin(self) -> None:
        self.is_between = False

    def on_url(self, part: bytes) -> None:
        self._target += part
        self._head_bytes += len(part)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._body is None:
            self._head_bytes += len(name) + len(value) + BYTES_BETWEEN
            self._headers.setdefault(name.lower(), []).append(value.rstrip(b" \t"))

    def on_headers_complete(self) -> None:
        llhttp, headers = self._llhttp, self._headers
        http_version = llhttp.get_http_version()
        self._check_head(http_version, headers)
        method = llhttp.get_method().decode("ascii")
        self._framing_bytes = 0
        if llhttp.should_upgrade() and method != "CONNECT":
            self._head_without_offer = _without_offer(method, self._target, http_version, headers)
            self._headers, self._target, self._head_bytes = {}, b"", 0
            return
        self._body = Body(self._read_on)
        keep_alive = http_version == "1.1" and method != "CONNECT" and llhttp.should_keep_alive()
        request = Request(self.ends, method, self._target, http_version, headers, self._body, keep_alive=keep_alive)
        self.requests.append(request)
        self._headers, self._target, self._head_bytes = {}, b"", 0

    def _check_head(self, http_version: str, headers: Headers) -> None:
        if self._head_bytes > HEAD_BYTES_MAX:
            self._refuse(HEAD_TOO_LARGE)
        if http_version not in ("1.1", "1.0"):
            self._refuse(Refusal(400, "unsupported HTTP version: send HTTP/1.1"))
        hosts = len(headers.get(b"host", ()))
        if hosts == 0 and http_version == "1.1":
            self._refuse(Refusal(400, "missing Host header"))
        if hosts > 1:
            self._refuse(Refusal(400, "repeated Host header: send one"))
        if any(len(value) > LENGTH_DIGITS_MAX for value in headers.get(b"content-length", ())):
            self._refuse(LENGTH_TOO_LONG)  # llhttp accepts any number of leading zeros
        if b"transfer-encoding" in headers:
            self._check_coding(http_version, headers)

    def _check_coding(self, http_version: str, headers: Headers) -> None:
        if http_version == "1.0":
            self._refuse(Refusal(400, "HTTP/1.0 does not support Transfer-Encoding: send Content-Length"))
        if [value.lower() for value in headers[b"transfer-encoding"]] != [b"chunked"]:
            self._refuse(UNKNOWN_CODING)

    def on_body(self, chunk: bytes) -> None:
        assert self._body is not None, "a body has a head"
        self._framing_bytes = max(0, self._framing_bytes - len(chunk))
        self._body.put(chunk)

    def on_chunk_header(self) -> None:
        self._framing_bytes = max(0, self._framing_bytes - CHUNK_FRAMING_BYTES)

    def on_message_complete(self) -> None:
        self.is_between = True
        self._framing_bytes = 0
        if self._body is not None:  # else the request offers to upgrade, and its head is parsed again
            self._body.ended = True
            self._body = None


def _without_offer(method: str, target: bytes, http_version: str, headers: Headers) -> bytes:
    """Return the head of a request without its offer to upgrade, because llhttp cannot ignore an offer."""
    lines = [b"%b: %b" % (name, value) for name, values in headers.items() if name != b"upgrade" for value in values]
    return b"\r\n".join([f"{method} ".encode() + target + f" HTTP/{http_version}".encode(), *lines, b"\r\n"])
