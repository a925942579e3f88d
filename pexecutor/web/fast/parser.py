"""From bytes to requests, by ``httptools``, which is llhttp; and what it lets pass that is refused here.

llhttp refuses by itself: a length that is told in two ways or twice, or that is no number; sizes of chunks that are
none; folded headers; lines that end without CR or without LF; control characters; spaces before a colon. Added here is
that a request has one host, is HTTP/1.0 or 1.1, has no transfer coding but ``chunked``, and has a head of a bounded
length, and that not much is sent around the chunks of a body. The headers behind a chunked body are dropped: nothing
here reads them, and they must not be taken for those of a head.

What is refused is the end: the requests before it are answered, then the refusal, and nothing behind it is looked at.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import httptools

from .request import Body, Ends, Headers, Request

HEAD_BYTES_MAX: Final = 16 * 1024
FRAMING_BYTES_MAX: Final = 16 * 1024
"""How much more than 16 bytes a chunk the framing of a body may have, in all."""

CHUNK_FRAMING_BYTES: Final = 16
BYTES_PARSED_AT_ONCE: Final = 16 * 1024
"""Bounds are looked at in between: the parser does not say where it is."""

LENGTH_DIGITS_MAX: Final = 20
BYTES_BETWEEN: Final = 4
"""What is around the name and the value of a header."""


class Refusal(NamedTuple):
    """Why a connection has to end."""

    status: int
    detail: str


NO_HTTP: Final = "the request is not valid HTTP/1.1"
HEAD_TOO_LARGE: Final = Refusal(431, "the request's headers are larger than what is taken")
LENGTH_TOO_LONG: Final = Refusal(400, f"{NO_HTTP}: Content-Length has too many digits")
UNKNOWN_CODING: Final = Refusal(501, "this Transfer-Encoding is not understood: send Content-Length, or chunked")
FRAMING_TOO_LARGE: Final = Refusal(400, f"{NO_HTTP}: what is around the chunks of its body is too much")


class _RefusedError(Exception):
    """Ends the parser's run; the refusal is noted."""


class Parser:
    """What has come over one connection, as requests.

    Parameters:
        ends: of the connection.
        read_on: what the bodies of its requests are read on with.
    """

    def __init__(self, ends: Ends, read_on: Callable[[], Awaitable[None]]) -> None:
        self.requests: deque[Request] = deque()
        self.refusal: Refusal | None = None
        self.ends = ends
        self.is_between: bool = True
        """Whether nothing has come of a request that is not whole."""
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
        """Parse; what comes of it is in ``requests`` and ``refusal``."""
        for begin in range(0, len(data), BYTES_PARSED_AT_ONCE):
            if self.refusal is None:
                self._parse(data[begin : begin + BYTES_PARSED_AT_ONCE])

    def _parse(self, data: bytes) -> None:
        self._framing_bytes += len(data)
        while data:
            data = self._left_of(data)
        if self.refusal is None:
            self._bound_framing()

    def _left_of(self, data: bytes) -> bytes:
        """Have llhttp take some bytes; what it has to be given again is the answer."""
        try:
            self._llhttp.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._llhttp = httptools.HttpRequestParser(self)
            again, self._head_without_offer = self._head_without_offer, b""
            return again + data[upgrade.args[0] :]
        except httptools.HttpParserCallbackError:
            if self.refusal is None:
                raise
        except httptools.HttpParserError as error:
            self.refusal = self.refusal or Refusal(400, f"{NO_HTTP}: {error}")
        return b""

    def _bound_framing(self) -> None:
        if self._body is None and self._framing_bytes > HEAD_BYTES_MAX:
            self.refusal = HEAD_TOO_LARGE
        elif self._framing_bytes > FRAMING_BYTES_MAX:
            self.refusal = FRAMING_TOO_LARGE

    def _refuse(self, refusal: Refusal) -> None:
        self.refusal = refusal
        raise _RefusedError

    # Called by the parser

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
            self._refuse(Refusal(400, f"{NO_HTTP}, and that is what is spoken here"))
        hosts = len(headers.get(b"host", ()))
        if hosts > 1 or (hosts == 0 and http_version == "1.1"):
            self._refuse(Refusal(400, "the request says no host, or more than one"))
        if any(len(value) > LENGTH_DIGITS_MAX for value in headers.get(b"content-length", ())):
            self._refuse(LENGTH_TOO_LONG)  # with leading zeros, llhttp takes any number of them
        if b"transfer-encoding" in headers:
            self._check_coding(http_version, headers)

    def _check_coding(self, http_version: str, headers: Headers) -> None:
        if http_version == "1.0":
            self._refuse(Refusal(400, "HTTP/1.0 has no Transfer-Encoding: send Content-Length"))
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
        if self._body is not None:  # else its head is to be read again
            self._body.ended = True
            self._body = None


def _without_offer(method: str, target: bytes, http_version: str, headers: Headers) -> bytes:
    """The head of a request that offers to upgrade, as if it did not: an offer may be ignored, and llhttp cannot."""
    lines = [b"%b: %b" % (name, value) for name, values in headers.items() if name != b"upgrade" for value in values]
    return b"\r\n".join([f"{method} ".encode() + target + f" HTTP/{http_version}".encode(), *lines, b"\r\n"])
