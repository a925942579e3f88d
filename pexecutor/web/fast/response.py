"""The bytes of a reply."""

from __future__ import annotations

import time
from collections.abc import Iterable
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from ..api.reply import PROBLEM_TYPE, Reply, problem
from ..serving.quart_app import REQUEST_ID_HEADER, new_request_id
from .request import Header

if TYPE_CHECKING:
    from .parser import Refusal

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK: Final = b"0\r\n\r\n"
CLOSE: Final = (b"connection", b"close")

_STATUS_LINES: Final = {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status.value, status.phrase.encode("ascii")) for status in HTTPStatus
}


class _Date:
    """The line of the Date header, formatted once a second."""

    def __init__(self) -> None:
        # Owned by line().
        self._second = 0
        self._line = b""

    def line(self) -> bytes:
        second = int(time.time())
        if second != self._second:
            self._second, self._line = second, b"date: %b\r\n\r\n" % formatdate(second, usegmt=True).encode("ascii")
        return self._line


date_line: Final = _Date().line


def head(status: int, headers: Iterable[Header]) -> bytes:
    """Return the head of a reply: a status line, the headers and the date."""
    lines = [b"%b: %b\r\n" % header for header in headers]
    return b"".join([_STATUS_LINES[status], *lines, date_line()])


def encode_reply(reply: Reply, request_id: str, *, keep_alive: bool = True) -> bytes:
    """Return the bytes of a reply; without ``keep_alive``, it announces that the connection ends."""
    content = reply.content
    assert isinstance(content, bytes), "only the framework sends streams"
    others = "".join([f"{name.lower()}: {value}\r\n" for name, value in reply.headers.items()])
    return b"%b%bcontent-type: %b\r\ncontent-length: %d\r\nx-request-id: %b\r\n%b%b%b" % (
        _STATUS_LINES[reply.status],
        others.encode("latin1"),
        reply.content_type.encode("ascii"),
        len(content),
        request_id.encode("ascii"),
        b"" if keep_alive else b"connection: close\r\n",
        date_line(),
        content,
    )


def encode_refusal(refusal: Refusal) -> bytes:
    """Return the bytes of the error reply after which a connection is closed."""
    content = problem(refusal.status, refusal.detail)
    headers = [
        (b"content-type", PROBLEM_TYPE.encode("ascii")),
        (b"content-length", b"%d" % len(content)),
        (REQUEST_ID_HEADER, new_request_id().encode("ascii")),
        CLOSE,
    ]
    return head(refusal.status, headers) + content
