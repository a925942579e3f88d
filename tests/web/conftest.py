"""A whole server on a loopback socket, inside the test's own Trio run, and a client that talks to it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx2
import msgspec
import pytest
import trio

from pexecutor import Executor, LocalStore
from pexecutor.config import Config
from pexecutor.handlers import Handler, sleep
from pexecutor.web import create_app
from pexecutor.web.listener import HttpServer, listen


class Served:
    """An executor that is served, and where."""

    def __init__(self, executor: Executor, http: HttpServer, client: httpx2.AsyncClient) -> None:
        self.executor = executor
        self.http = http
        self.url = http.url
        self.client = client

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])


ServeHere = Callable[..., Awaitable[Served]]


@pytest.fixture
async def serve_here(nursery: trio.Nursery) -> AsyncIterator[ServeHere]:
    """Start a server with these settings; it ends with the test."""
    clients: list[httpx2.AsyncClient] = []

    async def start(*, handler: Handler = sleep, **settings: Any) -> Served:
        config = msgspec.structs.replace(Config(), port=0, **settings)
        store = LocalStore(
            queue_size=config.queue_size,
            history_records_max=config.history_records_max,
            history_seconds_max=config.history_seconds_max,
        )
        executor = Executor(store, pool_size=config.pool_size, handler=handler)
        http = HttpServer(
            create_app(executor, config),
            listen(config.host, config.port),
            connections_max=config.connections_max,
            idle_seconds_max=config.request_timeout_seconds,
        )
        await nursery.start(executor.run)
        await nursery.start(http.run)
        clients.append(httpx2.AsyncClient(base_url=http.url, timeout=20))
        return Served(executor, http, clients[-1])

    yield start
    for client in clients:
        await client.aclose()
    nursery.cancel_scope.cancel()


@pytest.fixture
async def served(serve_here: ServeHere) -> Served:
    """A server with default settings."""
    return await serve_here()
