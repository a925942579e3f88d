"""NDJSON: lines, and posting them."""

from __future__ import annotations

from .conftest import Served
from .raw import CHUNKED, NDJSON, request
from .replies import Reply

POST_STREAM = request("POST /tasks", NDJSON, CHUNKED)


def line(number: int, *, padding: int = 0) -> bytes:
    """Return a line with a task and `padding` spaces."""
    return b'{"name":"t%d"%b}\n' % (number, b" " * padding)


async def post_lines(served: Served, lines: bytes, query: str = "") -> Reply:
    """Post a stream in one request."""
    headers = {"Content-Type": "application/x-ndjson"}
    return await served.client.post(f"/tasks{query}", content=lines, headers=headers)
