"""Submits that are repeated with their keys, by clients whose replies are lost on the way or with the server."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import httpx2
import pytest
import trio

from .conftest import StartServer
from .process import ServerProcess

REQUESTS: Final = 1000
CLIENTS: Final = 10
LOST: Final = 3
"""The proxy drops every third reply."""


class LossyProxy:
    """Forwards one request per connection, and closes the connection instead of forwarding some replies.

    Parameters:
        port: the port of the server.
        drops: called once a reply has arrived; returns whether to drop it.
    """

    def __init__(self, port: int, drops: Callable[[], bool]) -> None:
        self._port = port
        self._drops = drops

    async def serve(self, task_status: trio.TaskStatus[int]) -> None:
        """Forward connections; report the port as ``started``."""
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        task_status.started(listeners[0].socket.getsockname()[1])
        await trio.serve_listeners(self._forward, listeners)

    async def _forward(self, client: trio.SocketStream) -> None:
        async with client, await trio.open_tcp_stream("127.0.0.1", self._port) as server:
            request = await client.receive_some()
            while b"\r\n\r\n" not in request or not request.endswith(b"}"):
                request += await client.receive_some()
            await server.send_all(request)
            reply = await server.receive_some()
            if not self._drops():
                await client.send_all(reply)


async def post(client: httpx2.AsyncClient, port: int, key: str) -> str:
    """Submit a task with a key; return its id."""
    headers = {"Idempotency-Key": key, "Connection": "close"}
    reply = await client.post(f"http://127.0.0.1:{port}/tasks", json={"name": f"task-{key}"}, headers=headers)
    assert reply.status_code == 202, reply.text
    task_id: str = reply.json()["id"]
    return task_id


async def post_until_answered(client: httpx2.AsyncClient, port: int, key: str) -> str:
    """Submit a task with a key again and again until there is a reply; return the id of the task."""
    for _ in range(50):
        with suppress(httpx2.TransportError):
            return await post(client, port, key)
    raise AssertionError("fifty replies in a row were lost")


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(timeout=30, verify=False) as client:  # loading roots takes a while
        yield client


async def test_a_thousand_submits_through_a_lossy_proxy_are_a_thousand_tasks(
    start_server: StartServer, client: httpx2.AsyncClient
) -> None:
    server = start_server("--queue-size", "2000", "--store", "memory")
    replies = 0

    def every_third() -> bool:
        nonlocal replies
        replies += 1
        return replies % LOST == 0

    ids: list[str] = []
    async with trio.open_nursery() as nursery:
        port: int = await nursery.start(LossyProxy(_port(server), every_third).serve)
        limiter = trio.CapacityLimiter(CLIENTS)

        async def submit(number: int) -> None:
            async with limiter:
                ids.append(await post_until_answered(client, port, str(number)))

        async with trio.open_nursery() as clients:
            for number in range(REQUESTS):
                clients.start_soon(submit, number)
        nursery.cancel_scope.cancel()

    assert len(set(ids)) == REQUESTS
    assert replies >= REQUESTS * LOST / (LOST - 1) - 1, "every third reply was lost"
    assert _accepted(server) == REQUESTS


async def test_a_server_that_dies_before_its_reply_has_accepted_the_task_once(
    start_server: StartServer, client: httpx2.AsyncClient, tmp_path: Path
) -> None:
    """The reply has left the server when it is killed, so the task was accepted; the client never sees the reply."""
    flags = ("--data-dir", str(tmp_path / "tasks"), "--pool-size", "1")
    server = start_server(*flags)

    def kill_server() -> bool:
        os.kill(server.pid, signal.SIGKILL)
        return True

    async with trio.open_nursery() as nursery:
        port: int = await nursery.start(LossyProxy(_port(server), kill_server).serve)
        with pytest.raises(httpx2.TransportError):
            await post(client, port, "once")
        nursery.cancel_scope.cancel()
    assert server.wait() == -signal.SIGKILL
    restarted = start_server(*flags)

    first = await post(client, _port(restarted), "once")
    again = await post(client, _port(restarted), "once")

    assert first == again
    assert [record["id"] for record in restarted.client.get("/tasks?name=task-once").json()] == [first]
    assert first.endswith("-1")


def _accepted(server: ServerProcess) -> int:
    return sum(
        len(server.client.get(f"/tasks/{state}?limit=1000").json()) for state in ("pending", "running", "finished")
    )


def _port(server: ServerProcess) -> int:
    return int(server.url.rsplit(":", 1)[1])
