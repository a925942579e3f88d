"""Tasks that kill their node, or block it longer than its lease: the nodes and the healthy tasks continue."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

from ..stores.valkey.server import ValkeyServer, valkey_server
from .process import ServerProcess, eventually

HANDLERS: Final = """
import os, pathlib, signal, time, trio, pexecutor

HERE = pathlib.Path(__file__).parent


@pexecutor.handler
async def kill(context):
    os.kill(os.getpid(), signal.SIGKILL)


@pexecutor.handler
async def block(context):
    (HERE / "blocked").open("a").write("x")
    time.sleep(8)


@pexecutor.handler
async def work(context):
    await trio.sleep(1)
"""
HEALTHY: Final = [f"healthy-{number}" for number in range(10)]
STARTS_MAX: Final = 20


class Node:
    """A node that a service manager restarts whenever the node ends."""

    def __init__(self, log: Path, *flags: str) -> None:
        self.log = log
        self._flags = flags
        self._starts = 0
        self._closing = False
        self._process = self._start()
        self._keeper = threading.Thread(target=self._keep)
        self._keeper.start()

    def _start(self) -> ServerProcess:
        self._starts += 1
        return ServerProcess(*self._flags, log=self.log.with_suffix(f".{self._starts}"))

    def _keep(self) -> None:
        while not self._closing and self._starts < STARTS_MAX:
            self._process.wait_for_ever()
            if not self._closing:
                self._process.close()
                self._process = self._start()

    def get(self, path: str) -> Any:
        """Return the content of a path, or ``None`` while the node does not answer."""
        try:
            reply = self._process.client.get(path)
        except (httpx2.HTTPError, RuntimeError):  # the node has just ended
            return None
        return reply.json() if reply.status_code == 200 else None

    def post(self, *tasks: dict[str, Any]) -> None:
        assert self._process.client.post("/tasks", json=list(tasks)).status_code == 200

    def log_text(self) -> str:
        return "".join(path.read_text() for path in sorted(self.log.parent.glob(f"{self.log.name}.*")))

    def close(self) -> None:
        self._closing = True
        self._process.kill()
        self._keeper.join()
        self._process.close()


@pytest.fixture
def shared_server(tmp_path: Path) -> Iterator[ValkeyServer]:
    with valkey_server(tmp_path / "server") as server:
        yield server


@pytest.fixture
def nodes(shared_server: ValkeyServer, tmp_path: Path) -> Iterator[list[Node]]:
    handlers = tmp_path / "handlers_of_test.py"
    handlers.write_text(HANDLERS)
    flags = ["-port", "0", "--store", shared_server.url, "--durability", "none", "--lease", "3"]
    flags += ["--handlers", str(handlers), "--pool-size", "4"]
    started: list[Node] = []
    try:
        for number in range(3):
            started.append(Node(tmp_path / f"node-{number}", *flags))  # noqa: PERF401  # a comprehension would not close the started nodes after an error
        yield started
    finally:
        for node in started:
            node.close()


def ended(nodes: list[Node], wanted: set[str]) -> dict[str, Any] | None:
    """Wait until all these tasks have ended; return their records by name."""
    for node in nodes:
        records = {record["name"]: record for record in node.get("/tasks/finished") or []}
        if wanted <= records.keys():
            return records
    return None


def wait_for_end(nodes: list[Node], *names: str) -> dict[str, Any]:
    records: dict[str, Any] = {}

    def look() -> bool:
        records.update(ended(nodes, set(names)) or {})
        return bool(records)

    for _ in range(4):
        try:
            eventually(look)
            break
        except AssertionError:
            continue
    return records


def test_a_task_that_kills_its_node_takes_no_other_along(nodes: list[Node]) -> None:
    killer = {"name": "killer", "handler": "kill"}
    nodes[0].post(killer, *({"name": name, "handler": "work"} for name in HEALTHY))
    records = wait_for_end(nodes, "killer", *HEALTHY)
    assert {name: records[name]["outcome"] for name in HEALTHY} == dict.fromkeys(HEALTHY, "succeeded")
    assert (records["killer"]["outcome"], records["killer"]["crashes"]) == ("abandoned", 3)
    assert "crashes_max" in records["killer"]["error"]


def test_a_task_that_blocks_its_node_past_the_lease_counts_as_one_that_kills_it(nodes: list[Node]) -> None:
    nodes[0].post({"name": "blocker", "handler": "block"}, {"name": "healthy", "handler": "work"})
    records = wait_for_end(nodes, "blocker", "healthy")
    assert records["healthy"]["outcome"] == "succeeded"
    assert (records["blocker"]["outcome"], records["blocker"]["crashes"]) == ("abandoned", 3)
    eventually(lambda: sum("the lease was lost" in node.log_text() for node in nodes) >= 1)
