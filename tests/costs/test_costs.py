"""Limits on the cost of a task. The tests compare counts, not times, so a slow machine cannot make them fail.

The ceilings are about a quarter above the counted values, because threads and a server cause some variation between
runs. Lower a ceiling when a change makes tasks cheaper.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
import trio

from pexecutor import LocalStore
from pexecutor.log import configure_logging
from pexecutor.logs.directory import KeptDirectory
from pexecutor.logs.files import LogFiles, LogStatistics
from pexecutor.stores import Store
from pexecutor.stores.address import ValkeyAddress
from pexecutor.stores.sqlite.database import Database
from pexecutor.stores.sqlite.journal import SqliteJournal
from pexecutor.stores.valkey import make_store

from ..stores.valkey.server import ValkeyServer, valkey_server
from .count import Cost, count_accepting, count_finishing, count_submitting

QUEUE_SIZE: Final = 10_000

ACCEPTING: Final = {
    "memory": Cost(calls=9_000, steps=4),
    "sqlite": Cost(calls=11_000, steps=18, writes=1),
    "valkey": Cost(calls=15_500, steps=30, writes=1, commands=42),
}
"""Ceilings for accepting a thousand tasks in one batch while no worker runs. A heartbeat may read the schedules too."""

FINISHING: Final = {
    "memory": Cost(calls=84_000, steps=84),
    "sqlite": Cost(calls=100_000, steps=265, writes=16),
    "valkey": Cost(calls=155_000, steps=400, writes=30, commands=1_500),
}
"""Ceilings for a thousand tasks from the submit to the last outcome, with 200 workers."""


SUBMITTING: Final = Cost(calls=165_000, steps=240)
"""Ceilings for a thousand tasks, one per request, through the fast listener."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    with valkey_server(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def quiet() -> None:
    """Raise the log level so that a submit writes no line."""
    configure_logging("error", "text")


@pytest.fixture(params=["memory", "sqlite", "valkey"])
def kind(request: pytest.FixtureRequest) -> str:
    kind: str = request.param
    return kind


@pytest.fixture
def store(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Store:
    if kind == "memory":
        return LocalStore(queue_size=QUEUE_SIZE)
    if kind == "sqlite":
        journal = SqliteJournal(Database(tmp_path / "tasks.db"))
        return LocalStore(queue_size=QUEUE_SIZE, journal=journal, ends_with_us=frozenset({"sleep"}))
    server: ValkeyServer = request.getfixturevalue("server")
    address = ValkeyAddress((("127.0.0.1", server.port),))
    return make_store(address, tmp_path.name, durability="none", queue_size=QUEUE_SIZE)


@pytest.fixture
def commands(kind: str, request: pytest.FixtureRequest) -> Callable[[], int]:
    """Return the number of commands that the server has executed."""
    if kind != "valkey":
        return lambda: 0
    server: ValkeyServer = request.getfixturevalue("server")

    def carried_out() -> int:
        [line] = [line for line in server.command("INFO", "stats").splitlines() if b"total_commands_processed" in line]
        return int(line.partition(b":")[2])

    return carried_out


async def test_a_thousand_tasks_are_accepted_for_no_more(kind: str, store: Store, commands: Callable[[], int]) -> None:
    with trio.fail_after(60):
        cost = await count_accepting(store, commands)

    assert cost.exceeds(ACCEPTING[kind]) == {}


async def test_a_thousand_tasks_are_finished_for_no_more(kind: str, store: Store, commands: Callable[[], int]) -> None:
    with trio.fail_after(60):
        cost = await count_finishing(store, commands)

    assert cost.exceeds(FINISHING[kind]) == {}


async def test_tasks_without_output_are_finished_for_no_more_where_logs_are_kept(tmp_path: Path) -> None:
    logs = LogFiles(KeptDirectory(tmp_path / "logs"))
    with trio.fail_after(60):
        cost = await count_finishing(LocalStore(queue_size=QUEUE_SIZE), lambda: 0, logs)

    assert cost.exceeds(FINISHING["memory"]) == {}
    assert logs.statistics() == LogStatistics()
    assert not await trio.Path(logs.directory).exists()


@pytest.mark.usefixtures("quiet")
async def test_a_thousand_submits_are_answered_for_no_more() -> None:
    with trio.fail_after(60):
        cost = await count_submitting(LocalStore(queue_size=QUEUE_SIZE), lambda: 0)

    assert cost.exceeds(SUBMITTING) == {}
