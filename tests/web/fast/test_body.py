"""The body of a request, as the fast listener provides it."""

from __future__ import annotations

import pytest
import trio

from pexecutor.web.fast.parser import BYTES_PARSED_AT_ONCE, Parser
from pexecutor.web.fast.request import Ends, Request

from ..raw import request

BODY = bytes(range(256)) * (3 * BYTES_PARSED_AT_ONCE // 256)


def read(parser: Parser, data: bytes) -> Request:
    parser.feed(data)
    [asked] = parser.requests
    return asked


async def test_all_that_has_come_is_given_at_once() -> None:
    parser = Parser(Ends("http", None, None), trio.sleep_forever)
    data = request("POST /tasks", body=BODY)
    chunks = read(parser, data[:-1]).chunks

    assert chunks.receive_nowait() == BODY[:-1]
    with pytest.raises(trio.WouldBlock):
        chunks.receive_nowait()

    parser.feed(data[-1:])
    assert await chunks.receive() == BODY[-1:]
    with pytest.raises(trio.EndOfChannel):
        await chunks.receive()
