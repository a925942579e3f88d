"""Submitting a stream: the lines that are accepted, however they are split, and the handling of invalid lines.

The network decides how a stream is split into chunks. So these tests split it at the most difficult places, over a raw
socket.
"""

from __future__ import annotations

import pytest
import trio
import trio.lowlevel

from ...fakes import Gate
from ..conftest import Served, ServeHere
from ..lines import POST_STREAM, line, post_lines
from ..raw import CHUNKED, LAST_CHUNK, NDJSON, RawReply, chunk, connected, request
from ..replies import counts_in, faults_in, problem_in

LINE_BYTES_MAX = 128 * 1024


async def post_in_chunks(served: Served, chunks: list[bytes]) -> RawReply:
    async with connected(served.port) as client:
        await client.send(POST_STREAM)
        for data in chunks:
            await client.send(chunk(data))
            await trio.lowlevel.checkpoint()
        return await client.ask(LAST_CHUNK)


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
    reply = await post_lines(served, body)

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

    reply = await post_lines(served, line(0) + line(1) + b'\n{"name":"x","duration":-1}\n' + line(3))

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

    reply = await post_lines(served, line(0) + faulty + b"\n" + line(1))

    assert faults_in(reply) == [(1, field)]
    assert counts_in(reply) == (1, 1, 0, 0)
    assert await served.names() == ["t0"]


@pytest.mark.parametrize("ends", [True, False])
async def test_a_line_too_long_is_refused(served: Served, ends: bool) -> None:
    body = line(0) + line(1, padding=LINE_BYTES_MAX) + (line(2) if ends else b"")

    reply = await post_lines(served, body if ends else body.rstrip(b"\n"))

    assert problem_in(reply, 413)
    assert counts_in(reply) == (1, 1, 0, 0)


async def test_a_line_of_the_greatest_length_is_taken(served: Served) -> None:
    longest = line(0, padding=LINE_BYTES_MAX - len(line(0)) + 1)

    assert (await post_lines(served, longest)).status_code == 200
    assert (await post_lines(served, longest.rstrip(b"\n"))).status_code == 200


@pytest.mark.parametrize(("query", "listed"), [("", 1000), ("?verdicts=none", 0)])
async def test_a_stream_lists_only_so_many_verdicts(served: Served, query: str, listed: int) -> None:
    reply = await post_lines(served, b'{"name":"same","duration":10000}\n' * 2000, query)

    assert counts_in(reply) == (2000, 1, 1999, 0)
    assert reply.content.count(b'"duplicate"') == listed
