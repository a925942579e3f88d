"""Split a stream of bytes into lines. Plain code: nothing here reads from a connection."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from ..errors import ForeignReplyError

LINE_MIB_MAX: Final = 8
LINE_BYTES_MAX: Final = LINE_MIB_MAX * 1024 * 1024
"""The longest line that is read. The lines of a pexecutor server are far shorter."""


class LineSplitter:
    """Splits the chunks of a stream into lines without their ends.

    A line ends with LF, CRLF or CR, as the WHATWG requires for server-sent events. A server sends LF, but a proxy may
    change that. JSON has neither character inside of a line.
    """

    def __init__(self) -> None:
        # Owned by take(): the part of a line that has arrived, and whether the stream has ended with CR so far.
        self._rest = bytearray()
        self._after_cr = False

    def take(self, chunk: bytes) -> list[bytes]:
        """Return the lines that have ended with this chunk, also empty ones.

        Raises:
            ForeignReplyError: a line is over the limit.
        """
        if not chunk:
            return []
        if self._after_cr:
            chunk = chunk.removeprefix(b"\n")  # the CR has ended the line already, because LF may never come
        self._after_cr = chunk.endswith(b"\r")
        lines = chunk.splitlines()
        begun = lines.pop() if lines and not chunk.endswith((b"\n", b"\r")) else b""
        if lines:
            lines[0] = bytes(self._rest) + lines[0]
            self._rest.clear()
        self._rest += begun
        if max(len(self._rest), *map(len, lines), 0) > LINE_BYTES_MAX:
            raise ForeignReplyError(
                f"a line of the reply is longer than {LINE_MIB_MAX} MiB, and no pexecutor server sends that:"
                " check the URL, and the proxy if there is one"
            )
        return lines


def lines_of(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of a stream without their ends; empty lines are heartbeats, and are left out.

    Raises:
        ForeignReplyError: a line is over the limit.
    """
    splitter = LineSplitter()
    for chunk in chunks:
        yield from filter(None, splitter.take(chunk))
