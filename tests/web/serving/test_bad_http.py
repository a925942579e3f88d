"""Requests that are invalid below JSON: too large, too slow, cut short, or not HTTP at all.

All go over a raw socket, because no proper client sends them. The server continues after each of them: every test ends
with a request that gets a reply, and with an empty listing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio

from pexecutor.config import HttpKind
from pexecutor.web.serving import quart_app

from ...fakes import Gate
from ..conftest import Served, ServeHere, every_launch
from ..raw import CHUNKED, JSON, LAST_CHUNK, NDJSON, RawReply, chunk, connected, request
from ..replies import problem_in

TASKS = b'[{"name": "a"}]'
MEBIBYTE = 1024 * 1024


@pytest.fixture
async def served(serve_here: ServeHere, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    """A server with short time limits. After the test, it must still work and must have accepted nothing."""
    monkeypatch.setattr(quart_app, "LINGER_SECONDS_MAX", 0.3)
    served = await serve_here(request_timeout_seconds=0.3, handler=gate)
    yield served
    assert await served.listing() == []


async def ask(served: Served, data: bytes) -> RawReply:
    async with connected(served.port) as client:
        return await client.ask(data)


async def test_a_body_too_large_is_refused_by_its_content_length(served: Served) -> None:
    reply = await ask(served, request("POST /tasks", JSON, f"Content-Length: {9 * MEBIBYTE}"))

    assert str(8 * MEBIBYTE) in problem_in(reply, 413)["detail"]


async def test_a_body_too_large_is_refused_once_its_chunks_are(served: Served) -> None:
    async with connected(served.port) as client:
        await client.send(request("POST /tasks", JSON, CHUNKED))
        for _ in range(9):
            await client.send(chunk(b" " * MEBIBYTE))
        await client.send(LAST_CHUNK)
        reply = await client.reply()

    assert str(8 * MEBIBYTE) in problem_in(reply, 413)["detail"]


async def test_a_body_of_the_greatest_size_is_taken(serve_here: ServeHere) -> None:
    served = await serve_here()
    body = TASKS.ljust(8 * MEBIBYTE)

    assert (await ask(served, request("POST /tasks", JSON, body=body))).status_code == 200
    assert problem_in(await ask(served, request("POST /tasks", JSON, body=body + b" ")), 413)


@pytest.mark.parametrize("headers", [["Content-Length: 15"], [CHUNKED]])
@pytest.mark.parametrize("body", [b"", b"7\r\n" + TASKS[:7]])
async def test_a_body_that_does_not_come_is_given_up(served: Served, headers: list[str], body: bytes) -> None:
    async with connected(served.port) as client:
        await client.send(request("POST /tasks", JSON, *headers) + body)
        reply = await client.reply(seconds_max=1)
        assert problem_in(reply, 408)
        assert await client.ended_within(1)


async def test_a_body_that_trickles_in_is_given_up(served: Served) -> None:
    async with connected(served.port) as client, trio.open_nursery() as nursery:
        await client.send(request("POST /tasks", JSON, CHUNKED))
        nursery.start_soon(client.trickle, chunk(b" "))
        reply = await client.reply(seconds_max=1)
        nursery.cancel_scope.cancel()

    assert problem_in(reply, 408)


@every_launch
@pytest.mark.parametrize("head", [b"", b"POST /ta", b"POST /tasks HTTP/1.1\r\nHost: localhost\r\nX: "])
async def test_a_head_that_does_not_come_ends_the_connection(served: Served, head: bytes) -> None:
    async with connected(served.port) as client:
        await client.send(head)
        assert await client.ended_within(1)


@every_launch
async def test_a_head_that_trickles_in_ends_the_connection(served: Served) -> None:
    async with connected(served.port) as client:
        await client.send(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n")
        with trio.fail_after(1):
            await client.trickle(b"X: y\r\n")


@every_launch
@pytest.mark.parametrize("data", [TASKS[:-1], b"", TASKS])
async def test_a_body_that_is_cut_off_leaves_nothing(served: Served, data: bytes) -> None:
    async with connected(served.port) as client:
        await client.send(request("POST /tasks", JSON, f"Content-Length: {len(TASKS) + 1}") + data)


@every_launch
@pytest.mark.parametrize(
    "headers",
    [[f"X: {'x' * 100_000}"], [f"X-{number}: {'x' * 100}" for number in range(1000)], [f"{'X' * 100_000}: x"]],
    ids=["long value", "many", "long name"],
)
async def test_headers_too_large_are_refused(served: Served, headers: list[str]) -> None:
    async with connected(served.port) as client:
        assert problem_in(await client.ask(request("GET /tasks", *headers)), 431)
        assert await client.ended_within(1)


@every_launch
@pytest.mark.parametrize("order", [1, -1])
async def test_a_length_that_is_told_in_two_ways_is_refused_and_the_connection_ends(served: Served, order: int) -> None:
    headers = [f"Content-Length: {len(TASKS)}", CHUNKED][::order]
    smuggled = request("POST /tasks", JSON, body=b'[{"name": "smuggled"}]')
    async with connected(served.port) as client:
        reply = await client.ask(request("POST /tasks", JSON, *headers) + chunk(TASKS) + LAST_CHUNK + smuggled)
        assert "Content-Length" in problem_in(reply, 400)["detail"]
        assert await client.ended_within(1)


@every_launch
@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"hello\r\n\r\n", 400),
        (b"GET /tasks\r\n\r\n", 400),
        (b"GET /tasks HTTP/1.1\r\n\r\n", 400),
        (b"GET /ta sks HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /tasks HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", 400),
        (b"GET /tasks HTTP/1.1\r\nHost: x\r\nX : y\r\n\r\n", 400),
        (b"GET /tasks HTTP/1.1\r\nHost: x\r\nX: \x00\r\n\r\n", 400),
        (request("POST /tasks", JSON, "Content-Length: x"), 400),
        (request("POST /tasks", JSON, "Content-Length: -1"), 400),
        (request("POST /tasks", JSON, "Content-Length: 1", "Content-Length: 2") + TASKS, 400),
        (request("POST /tasks", JSON, CHUNKED) + b"x\r\n" + TASKS, 400),
        (request("POST /tasks", JSON, CHUNKED) + b"-1\r\n" + TASKS, 400),
        (request("POST /tasks", JSON, CHUNKED) + chunk(TASKS)[:-2] + b"xx" + LAST_CHUNK, 400),
        (request("POST /tasks", JSON, "Transfer-Encoding: gzip, chunked") + chunk(TASKS) + LAST_CHUNK, 501),
    ],
    ids=lambda value: repr(value[:60]) if isinstance(value, bytes) else "",
)
async def test_what_is_no_http_is_answered_and_the_connection_ends(served: Served, data: bytes, status: int) -> None:
    async with connected(served.port) as client:
        assert problem_in(await client.ask(data), status)
        assert await client.ended_within(1)


@pytest.mark.parametrize(
    "target",
    [
        "*",
        "x",
        "x:80",
        "HTTPS://[::1]:1/y",
        "/tasks//x",
        "/%",
        "/..//x",
        "/%00",
    ],
)
async def test_a_strange_target_is_not_found(served: Served, server: HttpKind, target: str) -> None:
    """Or the request is refused at once, if its target has no valid form."""
    is_none = server == "fast" and target in ("x", "x:80")
    assert problem_in(await ask(served, request(f"GET {target}")), 400 if is_none else 404)


@pytest.mark.parametrize("target", ["http://localhost", "http://localhost?y"])
async def test_a_target_without_a_path_is_the_root(served: Served, target: str) -> None:
    assert (await ask(served, request(f"GET {target}"))).content.startswith(b"<!doctype html>")


@pytest.mark.parametrize(
    "host", ["", "a b", "[::1", "[localhost]", "x:y", "\xff", "x/y", "x, y", "http://x", "x@localhost"]
)
async def test_a_host_that_is_none_is_refused(served: Served, host: str) -> None:
    head = f"GET /tasks HTTP/1.1\r\nHost: {host}\r\n\r\n"

    assert problem_in(await ask(served, head.encode("latin1")), 400)


async def test_a_target_in_absolute_form_is_understood(served: Served) -> None:
    assert (await ask(served, request("GET http://localhost:1/tasks?limit=1"))).content == b"[]"


async def test_a_chunked_stream_that_breaks_ends_in_an_error(served: Served) -> None:
    reply = await ask(served, request("POST /tasks", NDJSON, CHUNKED) + b"zz\r\n" + TASKS)

    assert problem_in(reply, 400)


@pytest.mark.parametrize("path", ["/x", "/task", "/tasks/", "/tasks/a/b", "/Tasks", "/tasks/pending/x", "/static/x"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_wrong_path_is_not_found(served: Served, method: str, path: str) -> None:
    assert problem_in(await served.client.request(method, path, json=[{"name": "a"}]), 404)


EMPTY_LINES = {"one": b"\r\n", "three": b"\r\n" * 3, "a bare LF": b"\n", "mixed": b"\n\r\n\n"}


@every_launch
@pytest.mark.parametrize("lines", EMPTY_LINES.values(), ids=EMPTY_LINES)
async def test_empty_lines_around_requests_are_ignored(served: Served, lines: bytes) -> None:
    async with connected(served.port) as client:
        get, post = request("GET /livez"), request("POST /tasks", JSON, body=b"[]")
        await client.send(lines + get + lines + post + lines + post + lines)
        assert [(await client.reply()).status_code for _ in range(3)] == [200] * 3
        for byte in lines:
            await client.send(bytes([byte]))
            await trio.sleep(0.005)
        assert (await client.ask(get)).status_code == 200


@every_launch
@pytest.mark.parametrize("lines", EMPTY_LINES.values(), ids=EMPTY_LINES)
@pytest.mark.parametrize("pause_seconds", [None, 0.0])
async def test_empty_lines_behind_the_last_request_are_ignored(
    served: Served, lines: bytes, pause_seconds: float | None
) -> None:
    for head in (b"HTTP/1.0", b"HTTP/1.1\r\nHost: localhost\r\nConnection: close"):
        data = b"POST /tasks %b\r\n%b\r\nContent-Length: 2\r\n\r\n[]" % (head, JSON.encode())
        async with connected(served.port) as client:
            await client.send(data + (lines if pause_seconds is None else b""))
            if pause_seconds is not None:
                await trio.sleep(pause_seconds)
                await client.send(lines)
            assert (await client.reply()).status_code == 200


@every_launch
async def test_empty_lines_without_end_are_given_up(served: Served) -> None:
    async with connected(served.port) as client:
        with trio.fail_after(2):
            await client.trickle(b"\r\n")


@every_launch
async def test_replies_have_a_reason_phrase(served: Served) -> None:
    requests = {
        b"HTTP/1.1 200 OK\r\n": request("GET /livez"),
        b"HTTP/1.1 404 Not Found\r\n": request("GET /none"),
        b"HTTP/1.1 405 Method Not Allowed\r\n": request("DELETE /tasks"),
        b"HTTP/1.1 400 Bad Request\r\n": b"nonsense\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n": request("POST /tasks", JSON, "Content-Length: 2", "Expect: 100-continue"),
    }
    for status_line, data in requests.items():
        async with connected(served.port) as client:
            await client.send(data)
            assert (await client.stream.receive_some(1000)).startswith(status_line)
