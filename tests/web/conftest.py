"""A whole server on a loopback socket inside the test's own Trio run, and a client for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, get_args

import httpx2
import msgspec
import pytest
import trio

from pexecutor import Executor, LocalStore
from pexecutor.config import Config, HttpKind
from pexecutor.core.statistics import Statistics
from pexecutor.handlers import BUILT_IN, Catalogue, Handler
from pexecutor.logs.files import LogFiles
from pexecutor.notifications.settings import load_targets
from pexecutor.web import Web, create_web, make_http
from pexecutor.web.serving.listener import HttpServer, listen
from pexecutor.web.serving.tls import tls_context

from ..fakes import Gate
from .serving.hosted import HostedServer


class Served:
    """An executor with its HTTP server and a client."""

    def __init__(
        self, executor: Executor, http: HttpServer | HostedServer, client: httpx2.AsyncClient, web: Web
    ) -> None:
        self.executor = executor
        self.web = web
        self.http = http
        self.url = http.url
        self.client = client
        self.http_ended = trio.Event()

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    async def serve(self) -> None:
        """Serve until ``http.stop()``; then set ``http_ended``."""
        await self.http.run()
        self.http_ended.set()

    async def until(self, condition: Callable[[Statistics], bool], *, seconds_max: float = 5) -> None:
        """Wait until the executor's statistics satisfy the condition."""
        with trio.fail_after(seconds_max):
            while not condition(self.executor.statistics()):  # noqa: ASYNC110  (a snapshot has no event)
                await trio.sleep(0.001)

    async def listing(self, path: str = "/tasks") -> list[Any]:
        """Return the records on a listing's first page."""
        reply = await self.client.get(path)
        assert reply.status_code == 200, reply.text
        records: list[Any] = reply.json()
        return records

    async def names(self, path: str = "/tasks") -> list[str]:
        """Return the names on a listing's first page."""
        return [record["name"] for record in await self.listing(path)]


ServeHere = Callable[..., Awaitable[Served]]

HOSTED: Final = "hosted"
"""The app under Hypercorn's own command line."""

every_launch = pytest.mark.parametrize("server", [*get_args(HttpKind), HOSTED], indirect=True)
"""A mark for tests of connections: they also run under Hypercorn's own command line."""


@pytest.fixture(params=get_args(HttpKind))
def server(request: pytest.FixtureRequest) -> HttpKind:
    """The implementation of HTTP. Every test runs with each."""
    kind: HttpKind = request.param
    return kind


def http_server(web: Web, config: Config) -> HttpServer | HostedServer:
    if str(config.server) == HOSTED:
        return HostedServer(web.app, config)
    return HttpServer(
        make_http(web, config),
        listen(config.host, config.port),
        connections_max=config.connections_max,
        tls=tls_context(config.tls_certfile, config.tls_keyfile),
    )


@pytest.fixture
async def serve_here(nursery: trio.Nursery, server: HttpKind) -> AsyncIterator[ServeHere]:
    """Start servers with the given settings; they stop with the test."""
    clients: list[httpx2.AsyncClient] = []

    async def start(
        *,
        handler: Handler | None = None,
        store: LocalStore | None = None,
        catalogue: Catalogue = BUILT_IN,
        logs: LogFiles | None = None,
        **settings: Any,
    ) -> Served:
        config = msgspec.structs.replace(Config(), **{"port": 0, "server": server, **settings})
        store = store or LocalStore(
            queue_size=config.queue_size,
            history_records_max=config.history_records_max,
            history_seconds_max=config.history_seconds_max,
            history_failed_seconds_max=config.history_failed_seconds_max,
        )
        handlers = catalogue if handler is None else Catalogue({"sleep": handler})
        targets = load_targets(config.notify, handlers.names(), {})
        executor = Executor(store, pool_size=config.pool_size, handlers=handlers, targets=targets, logs=logs)
        web = create_web(executor, config)
        http = http_server(web, config)
        clients.append(httpx2.AsyncClient(base_url=http.url, timeout=20, verify=False))  # loading roots is slow
        served = Served(executor, http, clients[-1], web)
        await nursery.start(executor.run)
        nursery.start_soon(served.serve)
        return served

    yield start
    for client in clients:
        await client.aclose()
    nursery.cancel_scope.cancel()


@pytest.fixture
async def served(serve_here: ServeHere) -> Served:
    """A server with default settings."""
    return await serve_here()


@pytest.fixture
def gate() -> Gate:
    """A closed gate: tasks that are submitted stay in flight."""
    return Gate()


@pytest.fixture
async def full(serve_here: ServeHere, gate: Gate) -> Served:
    """A server with one worker, which runs ``r``, and a queue of two, which holds ``p0`` and ``p1``."""
    notify = {"ops": {"url": "http://127.0.0.1:1/", "allow_private": True}}
    served = await serve_here(pool_size=1, queue_size=2, handler=gate, notify=notify)
    await served.client.post("/tasks", json={"name": "r"})
    await served.until(lambda now: now.store.running == 1)
    reply = await served.client.post("/tasks", json=[{"name": "p0"}, {"name": "p1"}])
    assert reply.status_code == 200
    return served
