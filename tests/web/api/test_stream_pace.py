"""A stream at the pace of the pool: of any length, in constant memory, and ended by either side in the middle.

``Upload`` sends as much as the server accepts and reports how much that was.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from ...fakes import Gate
from ..conftest import ServeHere
from ..lines import POST_STREAM, line, post_lines
from ..raw import LAST_CHUNK, RawClient, chunk, connected
from ..replies import counts_in, problem_in, retry_after_in


class Upload:
    """Sends chunks for as long as the server accepts them; ``sent`` is the number of bytes."""

    def __init__(self, client: RawClient, chunks: int, make: Callable[[int], bytes]) -> None:
        self.sent = 0
        self._client = client
        self._chunks = [chunk(make(number)) for number in range(chunks)]

    async def run(self) -> None:
        for data in self._chunks:
            await self._client.send(data)
            self.sent += len(data)
        await self._client.send(LAST_CHUNK)

    async def stalled(self) -> None:
        """Wait until no bytes have been sent for a while."""
        before = -1
        while before < self.sent:
            before = self.sent
            await trio.sleep(0.2)


async def test_while_the_queue_is_full_the_server_stops_reading(serve_here: ServeHere, gate: Gate) -> None:
    served = await serve_here(pool_size=1, queue_size=10, handler=gate)
    lines, bytes_buffered_max = 4000, 8_000_000  # most of the buffered data is in the kernel

    async with connected(served.port) as client, trio.open_nursery() as nursery:
        await client.send(POST_STREAM)
        upload = Upload(client, lines, lambda number: line(number, padding=4000))
        nursery.start_soon(upload.run)
        await upload.stalled()
        assert upload.sent < bytes_buffered_max < lines * 4000
        now = served.executor.statistics()
        assert (now.store.running, now.store.pending, now.waiting_for_room) == (1, 10, 1)

        gate.open()
        reply = await client.reply(seconds_max=10)

    assert reply.status_code == 200
    assert counts_in(reply) == (lines, lines, 0, 0)


async def test_a_drain_half_way_is_told_together_with_the_counts(serve_here: ServeHere, gate: Gate) -> None:
    served = await serve_here(pool_size=1, queue_size=2, handler=gate)

    async with connected(served.port) as client:
        await client.send(POST_STREAM + chunk(b"".join(line(number) for number in range(5))))
        await served.until(lambda now: (now.submitted, now.waiting_for_room) == (3, 1))
        served.executor.drain()
        reply = await client.reply()

    assert problem_in(reply, 503)
    assert retry_after_in(reply)
    assert counts_in(reply) == (5, 3, 0, 2)
    assert [(entry["index"], entry["verdict"]) for entry in reply.json()["Tasks"]] == [(3, "draining"), (4, "draining")]


async def test_a_client_that_leaves_half_way_leaves_whole_tasks_only(serve_here: ServeHere, gate: Gate) -> None:
    served = await serve_here(handler=gate)

    async with connected(served.port) as client:
        await client.send(POST_STREAM + chunk(line(0) + line(1) + line(2)[:9]))
        await served.until(lambda now: now.submitted == 2)

    assert counts_in(await post_lines(served, line(0) + line(1) + line(2))) == (3, 1, 2, 0)


async def test_a_stream_that_stands_still_is_given_up(serve_here: ServeHere, gate: Gate) -> None:
    served = await serve_here(handler=gate, request_timeout_seconds=0.2)

    async with connected(served.port) as client:
        await client.send(POST_STREAM + chunk(line(0)))
        reply = await client.reply(seconds_max=1)

    assert problem_in(reply, 408)
    assert counts_in(reply) == (1, 1, 0, 0)


async def test_a_hundred_thousand_lines_are_taken(serve_here: ServeHere, gate: Gate) -> None:
    served = await serve_here(queue_size=100_000, handler=gate)

    async with connected(served.port) as client, trio.open_nursery() as nursery:
        await client.send(POST_STREAM)
        upload = Upload(client, 100, lambda number: b"".join(map(line, range(number * 1000, number * 1000 + 1000))))
        nursery.start_soon(upload.run)
        reply = await client.reply(seconds_max=10)

    assert reply.status_code == 200
    assert counts_in(reply) == (100_000, 100_000, 0, 0)
    assert reply.json()["Tasks"] == []
