"""Submitting a stream: NDJSON in any cut, of any length, at the pace of the pool, in constant memory.

How a stream is cut into chunks is the network's matter, so these tests cut it on purpose where it hurts, over a raw
socket. ``Upload`` sends as much as the server takes and tells how much that was.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
import trio.lowlevel

from ..fakes import Gate
from .conftest import Served, ServeHere
from .raw import CHUNKED, LAST_CHUNK, NDJSON, RawClient, RawReply, chunk, connected, request
from .replies import Reply, counts_in, faults_in, problem_in, retry_after_in

POST_STREAM = request("POST /tasks", NDJSON, CHUNKED)
LINE_BYTES_MAX = 128 * 1024


def line(number: int, *, padding: int = 0) -> bytes:
    return b'{"name":"t%d"%b}\n' % (number, b" " * padding)


async def post(served: Served, body: bytes, query: str = "") -> Reply:
    headers = {"Content-Type": "application/x-ndjson"}
    return await served.client.post(f"/tasks{query}", content=body, headers=headers)


async def post_in_chunks(served: Served, chunks: list[bytes]) -> RawReply:
    async with connected(served.port) as client:
        await client.send(POST_STREAM)
        for data in chunks:
            await client.send(chunk(data))
            await trio.lowlevel.checkpoint()
        return await client.ask(LAST_CHUNK)


class Upload:
    """Sends chunks for as long as the server takes them; ``sent`` is how many bytes that were."""

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
        """Wait until nothing has gone out for a while."""
        before = -1
        while before < self.sent:
            before = self.sent
            await trio.sleep(0.2)


@pytest.mark.parametrize(
    ("body", "tasks"),
    [
        (b"", 0),
        (b"\n\r\n \n", 0),
        (b'{"name":"a"}\n{"name":"b"}\n', 2),
        (b'{"name":"a"}\n{"name":"b"}', 2),
        (b'{"name":"a"}\r\n{"name":"b"}\r\n', 2),
        (b'\n\n{"name":"a"}\n\n \t\n{"name":"b"}\n\n', 2),
        (b' {"name": "a", "duration": 0} \n\t{"name":"\\u0062"}', 2),
        (b'{"name":"a"}\r\n\r\n{"name":"b"}', 2),
    ],
)
async def test_lines_may_be_blank_end_either_way_or_not_at_all(served: Served, body: bytes, tasks: int) -> None:
    reply = await post(served, body)

    assert reply.status_code == 200
    assert counts_in(reply) == (tasks, tasks, 0, 0)


@pytest.mark.parametrize("size", [1, 2, 7, 16])
async def test_a_line_may_be_cut_anywhere(serve_here: ServeHere, gate: Gate, size: int) -> None:
    served = await serve_here(handler=gate)
    body = '{"name":"ä"}\r\n\n{"name":"☃","duration":1}\n{"name":"ä"}'.encode()

    reply = await post_in_chunks(served, [body[start : start + size] for start in range(0, len(body), size)])

    assert reply.status_code == 200
    assert counts_in(reply) == (3, 2, 1, 0)
    assert [(entry["index"], entry["name"]) for entry in reply.json()["Tasks"]] == [(2, "ä")]


async def test_indices_go_on_from_chunk_to_chunk(served: Served) -> None:
    async with connected(served.port) as client:
        await client.send(request("POST /tasks?verdicts=all", NDJSON, CHUNKED))
        for number in range(4):
            await client.send(chunk(line(number)))
            await served.until(lambda now, number=number: now.submitted == number + 1)  # type: ignore[misc]
        reply = await client.ask(LAST_CHUNK)

    assert [(entry["index"], entry["name"]) for entry in reply.json()["Tasks"]] == [(n, f"t{n}") for n in range(4)]


async def test_a_faulty_line_ends_the_stream_and_what_came_before_it_counts(serve_here: ServeHere, gate: Gate) -> None:
    served = await serve_here(handler=gate)

    reply = await post(served, line(0) + line(1) + b'\n{"name":"x","duration":-1}\n' + line(3))

    assert faults_in(reply) == [(2, "duration")]
    assert counts_in(reply) == (2, 2, 0, 0)
    assert sorted(await served.names()) == ["t0", "t1"]


@pytest.mark.parametrize(
    ("faulty", "field"),
    [
        (b"null", None),
        (b'[{"name":"x"}]', None),
        (b'{"name":"x"', None),
        (b'{"name":"x"}{"name":"y"}', None),
        (b'{"name":"x"},', None),
        (b'{"name":"\xff"}', None),
        (b"[" * 100_000, None),
        (b'{"name":"x","color":1}', "color"),
        (b'{"name":"x","name":"y"}', "name"),
        (b'{"name":"x","na\\u006de":"y"}', "name"),
        (b'{"name":"x","duration":1.5}', "duration"),
    ],
)
async def test_a_line_that_is_no_task_is_told_with_its_index(
    serve_here: ServeHere, gate: Gate, faulty: bytes, field: str | None
) -> None:
    served = await serve_here(handler=gate)

    reply = await post(served, line(0) + faulty + b"\n" + line(1))

    assert faults_in(reply) == [(1, field)]
    assert counts_in(reply) == (1, 1, 0, 0)
    assert await served.names() == ["t0"]


@pytest.mark.parametrize("ends", [True, False])
async def test_a_line_too_long_is_refused(served: Served, ends: bool) -> None:
    body = line(0) + line(1, padding=LINE_BYTES_MAX) + (line(2) if ends else b"")

    reply = await post(served, body if ends else body.rstrip(b"\n"))

    assert problem_in(reply, 413)
    assert counts_in(reply) == (1, 1, 0, 0)


async def test_a_line_of_the_greatest_length_is_taken(served: Served) -> None:
    longest = line(0, padding=LINE_BYTES_MAX - len(line(0)) + 1)

    assert (await post(served, longest)).status_code == 200
    assert (await post(served, longest.rstrip(b"\n"))).status_code == 200


async def test_while_the_queue_is_full_the_server_stops_reading(serve_here: ServeHere, gate: Gate) -> None:
    served = await serve_here(pool_size=1, queue_size=10, handler=gate)
    lines, bytes_buffered_max = 4000, 8_000_000  # most of what is buffered is in the kernel

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

    assert counts_in(await post(served, line(0) + line(1) + line(2))) == (3, 1, 2, 0)


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


@pytest.mark.parametrize(("query", "listed"), [("", 1000), ("?verdicts=none", 0)])
async def test_a_stream_lists_only_so_many_verdicts(served: Served, query: str, listed: int) -> None:
    reply = await post(served, b'{"name":"same","duration":10000}\n' * 2000, query)

    assert counts_in(reply) == (2000, 1, 1999, 0)
    assert reply.content.count(b'"duplicate"') == listed
