"""The log of an attempt as a client reads it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

NDJSON_TYPE: Final = "application/x-ndjson"


class LogStream(NamedTuple):
    """The log of an attempt.

    Parameters:
        lines: its lines as they arrive, as JSON.
        node: the node that keeps the whole log, if the server sends only the end of the output.
    """

    lines: Iterator[bytes]
    node: str | None


def lines_of(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of a stream without their ends; empty lines are heartbeats, and are left out."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from filter(None, lines)
