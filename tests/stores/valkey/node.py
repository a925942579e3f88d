"""A whole node in the test's own Trio run: what is asked of it over HTTP, and what it runs."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import trio
from quart.typing import TestClientProtocol

from pexecutor import Executor
from pexecutor.config import Config
from pexecutor.handlers import Catalogue
from pexecutor.stores.address import ValkeyAddress, parse_store
from pexecutor.stores.valkey import ValkeyStore
from pexecutor.stores.valkey.client import ValkeyLink
from pexecutor.stores.valkey.server_checks import Durability
from pexecutor.web import create_app

from ...fakes import Gate

PATIENCE_SECONDS: Final = 0.4
LEASE_SECONDS: Final = 6.0
QUEUE_SIZE: Final = 10_000
WAIT_SECONDS_MAX: Final = 40.0


class ANode:
    """One node; its work goes on when the test opens the gate."""

    def __init__(self, executor: Executor, client: TestClientProtocol, gate: Gate) -> None:
        self.executor = executor
        self.gate = gate
        self._client = client

    async def post(self, *names: str) -> tuple[int, dict[str, Any], str | None]:
        """Submit tasks: the status, the reply, and its ``Retry-After``."""
        reply = await self._client.post("/tasks", json=[{"name": name, "duration": 1} for name in names])
        return reply.status_code, await reply.get_json(force=True), reply.headers.get("Retry-After")

    async def accept(self, *names: str) -> None:
        """Submit tasks that are accepted."""
        status, reply, _ = await self.post(*names)
        assert (status, reply["SubmittedTasks"]) == (200, len(names)), reply

    async def refusal(self, name: str) -> str:
        """Submit a task that the store cannot take now: what the submitter is told."""
        status, problem, retry_after = await self.post(name)
        assert (status, problem["status"], retry_after) == (503, 503, "1"), problem
        detail: str = problem["detail"]
        return detail

    async def get(self, path: str) -> Any:
        """What is at a path; ``None`` as long as the store does not say."""
        reply = await self._client.get(path)
        return await reply.get_json() if reply.status_code == 200 else None

    async def outcomes(self) -> dict[str, str]:
        """How tasks have ended, by name; nothing as long as the store does not say."""
        records = await self.get("/tasks/finished") or []
        assert len({record["name"] for record in records}) == len(records), "each outcome is there once"
        return {record["name"]: record["outcome"] for record in records}

    async def is_ready(self) -> bool:
        return (await self._client.get("/readyz")).status_code == 200


async def eventually(condition: Callable[[], Any]) -> None:
    """Ask until the answer is true."""
    with trio.fail_after(WAIT_SECONDS_MAX):
        while not await condition():  # noqa: ASYNC110  (nobody tells)
            await trio.sleep(0.02)


async def eventually_runs(node: ANode, *names: str) -> None:
    with trio.fail_after(WAIT_SECONDS_MAX):
        while not node.gate.at_work >= set(names):  # noqa: ASYNC110  (nobody tells)
            await trio.sleep(0.02)


async def eventually_ended(node: ANode, *names: str) -> None:
    """Wait until handlers have come to their end."""
    with trio.fail_after(WAIT_SECONDS_MAX):
        while not set(node.gate.ended) >= set(names):  # noqa: ASYNC110  (nobody tells)
            await trio.sleep(0.02)


def address_of(url: str) -> ValkeyAddress:
    address = parse_store(url)
    assert isinstance(address, ValkeyAddress)
    return address


@asynccontextmanager
async def a_node(
    url: str,
    *,
    queue: str | None = None,
    durability: Durability = "aof",
    pool_size: int = 2,
    lease_seconds: float = LEASE_SECONDS,
    history_records_max: int = 10_000,
    doubts: list[str] | None = None,
    damages: list[str] | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
) -> AsyncIterator[ANode]:
    """A node while in here, of a queue of its own by default; it does not wait long for its server."""
    queue = queue or f"test-{secrets.token_hex(4)}"
    link = ValkeyLink(address_of(url), queue, flushed=durability == "fsync", patience_seconds=patience_seconds)
    store = ValkeyStore(
        link,
        node=f"node-{secrets.token_hex(3)}",
        queue_size=QUEUE_SIZE,
        history_records_max=history_records_max,
        durability=durability,
        lease_seconds=lease_seconds,
        on_doubt=(doubts if doubts is not None else []).append,
        on_damage=(damages if damages is not None else []).append,
    )
    gate = Gate()
    executor = Executor(store, pool_size=pool_size, handlers=Catalogue({"sleep": gate}))
    async with trio.open_nursery() as nursery:
        await nursery.start(executor.run)
        yield ANode(executor, create_app(executor, Config()).test_client(), gate)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def at_work(url: str, **settings: Any) -> AsyncIterator[ANode]:
    """A node with two tasks that run, and one that waits."""
    async with a_node(url, **settings) as node:
        await node.accept("one", "two", "waits")
        await eventually_runs(node, "one", "two")
        yield node


async def has_gone_on(node: ANode) -> None:
    """All that was accepted has ended as it should, at its first run, and more is taken."""
    wanted = dict.fromkeys(["one", "two", "waits"], "succeeded")
    await eventually(lambda: holds(node, wanted))
    await eventually(node.is_ready)
    await node.accept("more")
    await eventually(lambda: holds(node, {"more": "succeeded"}))
    assert len(node.gate.started) == len(set(node.gate.started)), "nothing ran twice"


async def holds(node: ANode, wanted: dict[str, str]) -> bool:
    return wanted.items() <= (await node.outcomes()).items()
