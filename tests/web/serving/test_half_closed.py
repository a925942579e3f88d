"""Clients that close their sending side after a request and then read get the same replies as others.

``nc -N`` does so, and scripts that speak HTTP/1.0, and some libraries. The server still notices clients that have
really gone.
"""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trio

from pexecutor.web.api import events
from pexecutor.web.serving import half_closed

from ...fakes import Gate
from ..conftest import Served, ServeHere, every_launch
from ..events import reading
from ..raw import CHUNKED, JSON, LAST_CHUNK, NDJSON, RawClient, chunk, connected, request
from .test_tls import certificate, tls_connected

__all__ = ["certificate"]

pytestmark = every_launch

TASK = b'{"name": "new", "delay": 60000}'
TURNS = 8
"""The number of repetitions. A race between the end of the input and a reply goes either way about half of the time."""

PATHS = (
    *("/", "/ui/static/0/app/main.js", "/docs", "/docs/style.css", "/openapi.json", "/livez", "/readyz", "/session"),
    *("/handlers", "/metrics", "/statistics/history", "/nodes", "/tasks", "/tasks?limit=1", "/tasks/finished"),
    *("/tasks/pending", "/tasks/running", "/tasks/{}", "/tasks/{}?wait=0.2", "/tasks/none-1", "/none"),
)

ROUTES = {
    **{f"GET {path}": request(f"GET {path}") for path in PATHS},
    "HEAD": request("HEAD /tasks"),
    "OPTIONS": request("OPTIONS /tasks"),
    "one": request("POST /tasks", JSON, body=TASK),
    "list": request("POST /tasks", JSON, body=b"[%b]" % TASK),
    "list, room": request("POST /tasks?wait_for_room=0.2", JSON, body=b'[{"name": "a"}, {"name": "b"}, {"name": "c"}]'),
    "chunked": request("POST /tasks", JSON, CHUNKED) + chunk(TASK) + LAST_CHUNK,
    "stream": request("POST /tasks", NDJSON, CHUNKED) + chunk(TASK + b"\n") + LAST_CHUNK,
    "stream, length": request("POST /tasks", NDJSON, body=TASK),
    "faulty": request("POST /tasks", JSON, body=b"{"),
    "change": request("PATCH /tasks/{}", JSON, body=b'{"priority": 7}'),
    "cancel": request("DELETE /tasks/{}"),
    "sign in": request("POST /session", JSON, body=b'{"token": "x"}'),
    "sign out": request("DELETE /session"),
    "1.0": b"GET /tasks HTTP/1.0\r\n\r\n",
    "1.0 one": b"POST /tasks HTTP/1.0\r\n%b\r\nContent-Length: %d\r\n\r\n%b" % (JSON.encode(), len(TASK), TASK),
    "1.0 cancel": b"DELETE /tasks/{} HTTP/1.0\r\n\r\n",
}


@pytest.fixture
async def waiting(serve_here: ServeHere, gate: Gate) -> tuple[Served, str]:
    """A server with one free place in its queue, and the id of a pending task."""
    served = await serve_here(pool_size=1, queue_size=3, handler=gate)
    await served.client.post("/tasks", json={"name": "busy"})
    await served.until(lambda now: now.store.running == 1)
    reply = await served.client.post("/tasks", json={"name": "task"})
    return served, reply.json()["id"]


async def rest(client: RawClient) -> bytes:
    """Return all bytes until the server closes the connection."""
    received = bytearray()
    with trio.fail_after(10):
        while data := await client.stream.receive_some(65536):
            received += data
    return bytes(received)


async def told(served: Served, *parts: bytes, pause_seconds: float = 0.0) -> bytes:
    """Send these parts and close the sending side; return all that the server sends."""
    async with connected(served.port) as client:
        for part in parts:
            await client.send(part)
            await trio.sleep(pause_seconds)
        assert isinstance(client.stream, trio.SocketStream)
        await client.stream.send_eof()
        return await rest(client)


def is_whole(reply: bytes) -> bool:
    """Return whether a reply is complete."""
    head, _, content = reply.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" in head.lower():
        return content.endswith(LAST_CHUNK)
    return f"content-length: {len(content)}\r\n".encode() in head.lower() + b"\r\n" or not content


@pytest.mark.parametrize("pause_seconds", [0.0, 0.05])
@pytest.mark.parametrize("route", ROUTES)
async def test_every_route_answers(waiting: tuple[Served, str], route: str, pause_seconds: float) -> None:
    served, task_id = waiting
    data = ROUTES[route].replace(b"{}", task_id.encode())
    for _ in range(TURNS if not pause_seconds and "wait" not in route and "room" not in route else 1):
        reply = await told(served, data, pause_seconds=pause_seconds)
        assert reply.startswith(b"HTTP/1.1 "), route
        assert is_whole(reply)
        assert not reply.startswith((b"HTTP/1.1 5", b"HTTP/1.1 408"))


@pytest.mark.parametrize("data", [ROUTES["cancel"], ROUTES["1.0 cancel"]])
async def test_a_cancel_is_done(served: Served, data: bytes) -> None:
    for turn in range(TURNS):
        task = (await served.client.post("/tasks", json={"name": f"{turn}", "delay": 60000})).json()
        reply = await told(served, data.replace(b"{}", task["id"].encode()))
        assert reply.startswith(b"HTTP/1.1 200 ")
        assert (await served.client.get(f"/tasks/{task['id']}")).json()["outcome"] == "cancelled"


async def test_a_drain_is_begun(served: Served) -> None:
    assert (await told(served, request("POST /drain"))).startswith(b"HTTP/1.1 202 ")
    assert (await served.client.get("/readyz")).status_code == 503


async def test_requests_that_are_sent_ahead_are_all_answered(waiting: tuple[Served, str]) -> None:
    served, task_id = waiting
    for first in ("cancel", "one", "GET /tasks", "GET /livez", "stream"):
        for second in ("GET /livez", "one", "stream", "cancel", "GET /tasks/{}"):
            data = (ROUTES[first] + ROUTES[second]).replace(b"{}", task_id.encode())
            assert (await told(served, data)).count(b"HTTP/1.1 ") == 2, (first, second)


async def test_a_reply_is_waited_for(serve_here: ServeHere, gate: Gate) -> None:
    served = await serve_here(handler=gate)
    task = (await served.client.post("/tasks", json={"name": "a"})).json()
    async with trio.open_nursery() as nursery:
        replies: list[bytes] = []

        async def wait() -> None:
            replies.append(await told(served, request(f"GET /tasks/{task['id']}?wait=20")))

        nursery.start_soon(wait)
        await trio.sleep(3 * half_closed.CHECK_SECONDS)
        gate.open()
    assert b'"succeeded"' in replies[0]


async def test_a_stream_of_tasks_waits_for_room(full: Served, gate: Gate) -> None:
    replies: list[bytes] = []
    async with trio.open_nursery() as nursery:

        async def post() -> None:
            replies.append(await told(full, request("POST /tasks", NDJSON, body=b'{"name": "late"}')))

        nursery.start_soon(post)
        await full.until(lambda now: now.waiting_for_room == 1)
        await trio.sleep(0.1)
        gate.open()
    assert b'"SubmittedTasks":1' in replies[0]


@pytest.mark.parametrize("data", [b"GET /tas", request("POST /tasks", JSON, "Content-Length: 9") + b"{", b""])
async def test_a_request_that_is_not_whole_is_not_done(served: Served, data: bytes) -> None:
    reply = await told(served, data)
    assert not reply or reply.startswith(b"HTTP/1.1 400 ")
    assert await served.listing() == []


# Clients that have gone


@pytest.mark.parametrize("ends_first", [False, True])
async def test_a_reset_ends_a_wait(full: Served, ends_first: bool) -> None:
    async with connected(full.port) as client:
        await client.send(request("POST /tasks?wait_for_room=30", JSON, body=b'{"name": "late"}'))
        await full.until(lambda now: now.waiting_for_room == 1)
        if ends_first:
            assert isinstance(client.stream, trio.SocketStream)
            await client.stream.send_eof()
            await trio.sleep(0.05)
        client.reset()
        await full.until(lambda now: now.waiting_for_room == 0)


@pytest.mark.parametrize("leave", ["close", "reset"])
async def test_a_stream_of_events_ends_soon_after_its_reader_has_left(serve_here: ServeHere, leave: str) -> None:
    served = await serve_here(event_streams_max=1)
    async with connected(served.port) as client:
        await client.send(request("GET /events"))
        await client.head()
        await client.chunk()
        if leave == "reset":
            client.reset()
        else:
            await client.stream.aclose()
    with trio.fail_after(5):
        while await status_of_events(served) != 200:  # noqa: ASYNC110  (a free place has no event)
            await trio.sleep(0.05)


async def status_of_events(served: Served) -> int:
    async with connected(served.port) as client:
        await client.send(request("GET /events"))
        return int((await client.head()).status_code)


async def test_a_stream_of_events_goes_on_for_a_reader_that_has_ended_its_side(served: Served) -> None:
    async with reading(served) as reader:
        assert isinstance(reader.client.stream, trio.SocketStream)
        await reader.client.stream.send_eof()
        await trio.sleep(2 * half_closed.CHECK_SECONDS)
        await served.client.post("/tasks", json={"name": "a"})
        assert (await reader.tasks(1))[0][0] == "a"
        assert reader.comments == 1
    assert events.HEARTBEAT_SECONDS > 2 * half_closed.CHECK_SECONDS


# Under TLS


@pytest.mark.parametrize("route", ["GET /tasks", "GET /tasks/{}?wait=0.2", "stream", "cancel"])
async def test_it_is_the_same_under_tls(serve_here: ServeHere, certificate: Path, route: str) -> None:
    served = await serve_here(tls_certfile=str(certificate))
    task = (await served.client.post("/tasks", json={"name": "task", "delay": 60000})).json()
    for _ in range(TURNS if "wait" not in route else 1):
        async with tls_connected(served.port) as (client, stream):
            await client.send(ROUTES[route].replace(b"{}", task["id"].encode()))
            with pytest.raises(ssl.SSLWantReadError):
                stream._ssl_object.unwrap()  # this sends a close_notify, and would wait for the server's
            await stream.transport_stream.send_all(stream._outgoing.read())
            assert (await client.reply()).status_code in (200, 409)
