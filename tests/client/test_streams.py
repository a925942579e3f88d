"""Streams of events and logs: line ends that a proxy has changed, an interrupted message, and a line without an end."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from typing import Any, Final

import pytest

from pexecutor import AsyncClient, ForeignReplyError
from pexecutor.client import line_splitter

from .drivers import Run
from .standins import Scripted, scripted
from .test_unreliable import ACCEPTED, problem

OVER: Final = problem(404)
"""Ends a client that still waits for more."""

LINE_ENDS: Final = pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])


@LINE_ENDS
def test_events_whose_line_ends_a_proxy_has_changed(run: Run, end: bytes) -> None:
    async def test(client: AsyncClient) -> None:
        async with client.events() as events:
            received = [event async for event in take(events, 2)]
        assert [(event.id, event.data) for event in received] == [(1, {"a": 1}), (2, {"b": 2})]

    lines = [
        b"id: 1",
        b"event: x",
        b'data: {"a":',
        b"data:1}",
        b"",
        b": heartbeat",
        b"",
        b"id: 2",
        b'data: {"b": 2}',
        b"",
    ]
    with scripted(Scripted(200, b"".join(line + end for line in lines)), OVER) as (url, _):
        run(test, url)


@LINE_ENDS
def test_a_log_whose_line_ends_a_proxy_has_changed(run: Run, end: bytes) -> None:
    async def test(client: AsyncClient) -> None:
        handle = await client.submit("a")
        assert [row.text async for row in handle.logs()] == ["a\r\n", "b"]

    body = b"".join(row + end for row in (b'{"offset": 0, "text": "a\\r\\n"}', b"", b'{"offset": 3, "text": "b"}'))
    with scripted(ACCEPTED, Scripted(200, body), OVER) as (url, _):
        run(test, url)


def test_an_event_without_its_end_comes_once_after_a_new_connection(run: Run) -> None:
    async def test(client: AsyncClient) -> None:
        async with client.events() as events:
            received = [event async for event in take(events, 2)]
        assert [(event.id, event.data) for event in received] == [(7, {"a": 1}), (8, {"b": 2})]

    begun, rest = b'id: 7\nevent: x\ndata: {"a": 1}\n', b'\nid: 8\ndata: {"b": 2}\n\n'
    with scripted(Scripted(200, b"id: 6\n\n" + begun), Scripted(200, b"id: 6\n\n" + begun + rest), OVER) as (url, _):
        run(test, url)


def test_a_reply_that_is_one_endless_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_splitter, "LINE_BYTES_MAX", 1000)

    async def test(client: AsyncClient) -> None:
        for lines in (client.events(), (await client.submit("a")).logs()):
            with pytest.raises(ForeignReplyError, match="check the URL"):
                await anext(aiter(lines))
            with pytest.raises(StopAsyncIteration):
                await anext(aiter(lines))

    endless = Scripted(200, b"x" * 2000)
    with scripted(ACCEPTED, endless, endless, OVER) as (url, _):
        run(test, url)


async def take(events: AsyncIterable[Any], number: int) -> AsyncIterator[Any]:
    """Yield the first events of a stream."""
    iterator = aiter(events)
    for _ in range(number):
        yield await anext(iterator)
