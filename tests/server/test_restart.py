"""Restarts with an inherited socket while clients connect all the time: no client is refused, and no task is lost.

The test is the service manager: it holds the listening socket, and starts a server as soon as the previous one has
ended. ``TEST_RESTARTS`` is the number of restarts, and ``TEST_RESTART_SECONDS`` how long the servers run between them,
in all.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final, get_args

import httpx2
import pytest
import trio

from pexecutor.config import HttpKind

from .activation import activated

RESTARTS: Final = int(os.environ.get("TEST_RESTARTS", "2"))
SECONDS: Final = float(os.environ.get("TEST_RESTART_SECONDS", "4"))
CONNECTIONS_PER_SECOND: Final = 200
CONNECTIONS_MAX: Final = 100_000
WAITING_MAX: Final = 2000
"""How many clients wait at most: well below the backlog, which drops further ones."""

KEPT_CONNECTIONS: Final = 5
KEPT_PAUSE_SECONDS: Final = 0.05
TRIES_MAX: Final = 20
WAIT_SECONDS_MAX: Final = 120

LAUNCHES: Final[dict[str, Sequence[str]]] = {kind: ("pexecutor", "--server", kind) for kind in get_args(HttpKind)}

SETTINGS: Final = {
    "PEXECUTOR_HISTORY_RECORDS_MAX": "100000",
    "PEXECUTOR_QUEUE_SIZE": "100000",
    "PEXECUTOR_POOL_SIZE": "20",
    "PEXECUTOR_LOG_LEVEL": "warning",
}


class Clients:
    """Clients of a server that is restarted, and what happened to them.

    Parameters:
        port: the port of the server.
    """

    def __init__(self, port: int) -> None:
        self.url: str = f"http://127.0.0.1:{port}"
        self._port = port
        self.accepted: set[str] = set()
        self.replies: Counter[int] = Counter()
        self.broken: list[str] = []
        self.streams = 0

    async def submit(self, name: str) -> None:
        """Submit a task over new connections until it is accepted."""
        for _ in range(TRIES_MAX):
            async with await self._connect() as stream:
                status, _ = await self._exchange(stream, name, "close")
            if status == 202:
                self.accepted.add(name)
                return
            await trio.sleep(0.1)
        self.broken.append(f"{name} was not accepted after {TRIES_MAX} replies")

    async def submit_over_a_kept_connection(self, number: int) -> None:
        """Submit tasks over a connection that is kept until the server closes it after a reply, then over another."""
        sent = 0
        while True:
            async with await self._connect() as stream:
                closing = False
                while not closing:
                    status, closing = await self._exchange(stream, f"kept-{number}-{sent}", "keep-alive")
                    if status == 202:
                        self.accepted.add(f"kept-{number}-{sent}")
                        sent += 1
                    await trio.sleep(KEPT_PAUSE_SECONDS)

    async def follow_events(self) -> None:
        """Follow the events, and again once the stream has ended, which it does by itself."""
        while True:
            async with await self._connect() as stream:
                await stream.send_all(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
                end = b""
                try:
                    async for data in stream:
                        end = (end + data)[-5:]
                except trio.BrokenResourceError as error:
                    self.broken.append(f"a stream: {error.__cause__!r}")
                if end != b"0\r\n\r\n":
                    self.broken.append(f"a stream ended with {end!r}")
                self.streams += 1

    async def _connect(self) -> trio.SocketStream:
        with trio.fail_after(WAIT_SECONDS_MAX):
            return await trio.open_tcp_stream("127.0.0.1", self._port)

    async def _exchange(self, stream: trio.SocketStream, name: str, connection: str) -> tuple[int, bool]:
        """Submit a task; return the status of the reply, and whether the server closes the connection."""
        body = json.dumps({"name": name, "duration": 5})
        head = f"POST /tasks HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\nContent-Length: {len(body)}\r\n"
        try:
            with trio.fail_after(WAIT_SECONDS_MAX):
                await stream.send_all(f"{head}Content-Type: application/json\r\n\r\n{body}".encode())
                status, closing = await _read_reply(stream)
        except (trio.BrokenResourceError, EOFError) as error:
            self.broken.append(f"{name}: {error.__cause__ or error!r}")
            status, closing = 0, True
        self.replies[status] += 1
        return status, closing


async def _read_reply(stream: trio.SocketStream) -> tuple[int, bool]:
    received = bytearray()
    while b"\r\n\r\n" not in received:
        received += await _some(stream)
    head, _, body = received.partition(b"\r\n\r\n")
    status, *headers = head.decode().lower().split("\r\n")
    named = dict(header.split(": ", 1) for header in headers)
    left = int(named["content-length"]) - len(body)
    while left > 0:
        left -= len(await _some(stream))
    return int(status.split()[1]), named.get("connection") == "close"


async def _some(stream: trio.SocketStream) -> bytes:
    if data := await stream.receive_some():
        return bytes(data)
    raise EOFError("the connection ended before the end of a reply")


class Manager:
    """Starts servers on one socket, one after the other.

    Parameters:
        listener: the listening socket.
        launch: a module of Python and its arguments.
        log: the file for the servers' log lines.
    """

    def __init__(self, listener: socket.socket, launch: Sequence[str], log: Path) -> None:
        self._start = partial(activated, listener, launch, log, **SETTINGS)
        self.process: subprocess.Popen[str] = self._start()

    async def started(self) -> None:
        """Wait until the server has said that it serves."""
        assert self.process.stdout is not None
        with trio.fail_after(WAIT_SECONDS_MAX):
            assert await trio.to_thread.run_sync(self.process.stdout.readline, abandon_on_cancel=True)

    async def restart(self) -> None:
        """Stop the server, and start the next one as soon as it has ended."""
        self.process.send_signal(signal.SIGTERM)
        status = await trio.to_thread.run_sync(self.process.wait, WAIT_SECONDS_MAX)
        self._close()
        self.process = self._start()
        assert status == 0

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self._close()

    def _close(self) -> None:
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.mark.parametrize("launch", LAUNCHES)
async def test_restarts_refuse_no_client_and_lose_no_task(launch: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        manager = Manager(listener, LAUNCHES[launch], tmp_path / "log")
        clients = Clients(listener.getsockname()[1])
        try:
            await manager.started()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(clients.follow_events)
                for number in range(KEPT_CONNECTIONS):
                    nursery.start_soon(clients.submit_over_a_kept_connection, number)
                async with trio.open_nursery() as submits:
                    restarted = trio.Event()
                    submits.start_soon(connect_until, restarted, clients)
                    await restart_all_the_time(manager)
                    restarted.set()
                nursery.cancel_scope.cancel()
            names = await names_of_all_tasks(clients)
        finally:
            manager.end()

    assert clients.broken == []
    assert set(clients.replies) <= {202, 503}, "each request is accepted, or answered that the server drains"
    assert len(clients.accepted) >= CONNECTIONS_PER_SECOND * SECONDS
    assert clients.streams >= 1
    assert clients.accepted <= names.keys(), "no task is lost"
    assert set(names.values()) == {1}, "no task is accepted twice"


async def connect_until(restarted: trio.Event, clients: Clients) -> None:
    """Connect at the same pace all the time, also while no server runs."""
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        for number in range(CONNECTIONS_MAX):
            await trio.sleep_until(began + number / CONNECTIONS_PER_SECOND)
            while len(nursery.child_tasks) >= WAITING_MAX:  # noqa: ASYNC110  (only on a machine that is too slow)
                await trio.sleep(0.1)
            if restarted.is_set():
                break
            nursery.start_soon(clients.submit, f"new-{number}")


async def restart_all_the_time(manager: Manager) -> None:
    for _ in range(RESTARTS):
        await trio.sleep(SECONDS / RESTARTS)
        await manager.restart()
        await manager.started()


async def names_of_all_tasks(clients: Clients) -> Counter[str]:
    """Return how many tasks of each name the last server knows."""
    names: Counter[str] = Counter()
    page: str | None = "/tasks?cursor="
    async with httpx2.AsyncClient(base_url=clients.url, timeout=WAIT_SECONDS_MAX) as client:
        while page is not None:
            reply = await client.get(page)
            names.update(record["name"] for record in reply.json())
            page = reply.links.get("next", {}).get("url")
    return names
