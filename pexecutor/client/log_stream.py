"""The log of an attempt as a client reads it. Plain code: nothing here reads from a connection."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from .decoding import decoded, foreign

NODE_HEADER: Final = "Pexecutor-Log-Node"
REASON_HEADER: Final = "Pexecutor-Log-Reason"


class LogStream(NamedTuple):
    """The log of an attempt.

    Parameters:
        lines: its lines as they arrive, as JSON.
        node: the node that keeps the whole log, if the server sends only the end of the output.
        reason: why the server does not send the whole log, if it says so.
    """

    lines: Iterator[bytes]
    node: str | None
    reason: str | None = None


class LogRow(msgspec.Struct, frozen=True):
    """Some consecutive bytes of a log, usually one line, or a gap.

    Parameters:
        offset: how many bytes of the whole output come before.
        stream: ``stdout``, ``stderr``, ``log`` or ``body``.
        text: the text with its line end; invalid bytes are replaced.
        time: when the bytes arrived, as in RFC 3339; ``None`` if only the end of the output is kept.
        base64: the bytes, if some were replaced in ``text``.
        missing_bytes: how many bytes are not kept here; then there is no text.
    """

    offset: int
    stream: str = "stdout"
    text: str = ""
    time: str | None = None
    base64: str | None = None
    missing_bytes: int = 0

    @property
    def data(self) -> bytes:
        """The bytes that were printed."""
        return self.text.encode() if self.base64 is None else base64.b64decode(self.base64)


class LogPlace:
    """The place in a log up to which a reader has it, so that a log can be read again after a lost connection."""

    def __init__(self) -> None:
        self._place = 0  # owned by take()

    def take(self, line: bytes) -> tuple[LogRow, bytes] | None:
        """Return a row and its bytes that are new; ``None`` if the reader has all of them.

        Raises:
            ForeignReplyError: the line is not a line of a log.
        """
        row = decoded(line, LogRow)
        try:
            data = row.data
        except ValueError as error:  # not Base64
            raise foreign() from error
        end = row.offset + len(data) + row.missing_bytes
        if end <= self._place:
            return None
        new = data[max(0, self._place - row.offset) :]
        self._place = end
        return row, new


def cut(row: LogRow, new: bytes) -> LogRow:
    """Return a row that begins where the new bytes begin."""
    data = row.data
    if len(new) == len(data):
        return row
    text = new.decode(errors="replace")
    encoded = None if text.encode() == new else base64.b64encode(new).decode()
    return msgspec.structs.replace(row, offset=row.offset + len(data) - len(new), text=text, base64=encoded)
