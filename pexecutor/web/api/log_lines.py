"""A log as NDJSON: lines with their time and stream.

Each object has consecutive bytes of the whole output, so a reader that knows where the last object ended can go on
there. Usually it is one line. A line is in several objects if another stream printed in the middle of it, if it is over
64 KiB, or if a follower has received its beginning already.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from typing import Final, Protocol

import msgspec
from msgspec import UNSET, UnsetType

from ...handlers.cuts import LINE_BYTES_MAX, whole_characters
from ...logs.reading import Missing, Part
from ...logs.segments import Chunk
from .wire import timestamp

NDJSON_TYPE: Final = "application/x-ndjson"

_encode = msgspec.json.Encoder().encode


class LogLine(msgspec.Struct):
    """Some consecutive bytes of a log.

    Parameters:
        offset: how many bytes of the whole output come before.
        stream: the stream: `stdout`, `stderr`, `log` or `body`.
        text: the text, with its line end; invalid bytes are replaced.
        time: when the bytes arrived; absent if only the end of the output is kept.
        base64: the bytes, if some of them were replaced in `text`.
    """

    offset: int
    stream: str
    text: str
    time: str | UnsetType = UNSET
    base64: str | UnsetType = UNSET


class LogGap(msgspec.Struct):
    """A part of the output that is not kept.

    Parameters:
        offset: how many bytes of the whole output come before.
        missing_bytes: how many bytes are missing.
    """

    offset: int
    missing_bytes: int


class LogEncoder(Protocol):
    """Turns the parts of a log into the bytes of a reply."""

    heartbeat: bytes
    """What to send when nothing has happened for a while."""

    def encode(self, part: Part) -> bytes:
        """Return the bytes of a part, as far as they can be sent."""

    def flush(self, *, ended: bool) -> bytes:
        """Return the bytes that were held back."""


class LineEncoder:
    """Turns chunks into NDJSON. It holds back an unfinished line until ``flush``."""

    def __init__(self) -> None:
        self.heartbeat = b"\n"
        self._open: Chunk | None = None

    def encode(self, part: Part) -> bytes:
        """Return the lines that end in this part."""
        if isinstance(part, Missing):
            gap = _line(LogGap(part.begin, part.end - part.begin))
            return self.flush(ended=True) + gap
        return b"".join([line for chunk in part for line in self._take(chunk)])

    def _take(self, chunk: Chunk) -> Iterator[bytes]:
        begun = self._open
        if begun is not None and begun.stream == chunk.stream and begun.offset + len(begun.data) == chunk.offset:
            chunk = begun._replace(data=begun.data + chunk.data)
        elif begun is not None:
            yield self.flush(ended=True)
        at, data = 0, chunk.data
        while at < len(data):
            end = data.find(b"\n", at, at + LINE_BYTES_MAX) + 1
            if not end and len(data) - at > LINE_BYTES_MAX:
                end = at + (whole_characters(data[at : at + LINE_BYTES_MAX]) or LINE_BYTES_MAX)
            if not end:
                break
            yield _row(chunk._replace(offset=chunk.offset + at, data=data[at:end]))
            at = end
        self._open = chunk._replace(offset=chunk.offset + at, data=data[at:]) if at < len(data) else None

    def flush(self, *, ended: bool) -> bytes:
        """Return the line that is not finished; unless the output has ended, without an incomplete last character."""
        begun, self._open = self._open, None
        if begun is None:
            return b""
        end = len(begun.data) if ended else whole_characters(begun.data)
        if end < len(begun.data):
            self._open = begun._replace(offset=begun.offset + end, data=begun.data[end:])
        return _row(begun._replace(data=begun.data[:end])) if end else b""


def _row(chunk: Chunk) -> bytes:
    time = UNSET if chunk.time is None else timestamp(chunk.time)
    try:
        return _line(LogLine(chunk.offset, chunk.stream, chunk.data.decode(), time))
    except UnicodeDecodeError:
        text, exact = chunk.data.decode(errors="replace"), b64encode(chunk.data).decode()
        return _line(LogLine(chunk.offset, chunk.stream, text, time, exact))


def _line(row: LogLine | LogGap) -> bytes:
    return _encode(row) + b"\n"


class TextEncoder:
    """Turns chunks into the bytes as they were printed, with a line in the place of each gap."""

    def __init__(self) -> None:
        self.heartbeat = b""
        self._line_is_open = False

    def encode(self, part: Part) -> bytes:
        """Return the bytes of a part."""
        if isinstance(part, Missing):
            before = "\n" if self._line_is_open else ""
            self._line_is_open = False
            return f"{before}[pexecutor: {part.end - part.begin} bytes of the output are not kept]\n".encode()
        data = b"".join([chunk.data for chunk in part])
        self._line_is_open = not data.endswith(b"\n")
        return data

    def flush(self, *, ended: bool) -> bytes:  # noqa: ARG002  # as that of a `LineEncoder`
        """Return nothing: no bytes are held back."""
        return b""
