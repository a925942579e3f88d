"""A task that kills its server is abandoned after some starts, and the other tasks succeed."""

from __future__ import annotations

import signal
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from .conftest import StartServer
from .process import ServerProcess, eventually

STARTS_MAX = 12

FUNCTIONS = """
import os, signal, time, pexecutor


@pexecutor.handler
async def function_killer(context):
    os.kill(os.getpid(), signal.SIGKILL)


@pexecutor.handler
def thread_killer(context):
    time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGKILL)


@pexecutor.handler
async def function_healthy(context):
    import trio
    await trio.sleep(0.3)
"""

SETTINGS = """
[handlers.command_killer]
command = ["sh", "-c", "kill -9 $PPID"]

[handlers.command_healthy]
command = ["sleep", "0.3"]
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "functions.py").write_text(FUNCTIONS)
    (tmp_path / "pexecutor.toml").write_text(SETTINGS)
    monkeypatch.setenv("PEXECUTOR_DATA_DIR", str(tmp_path / "data"))
    return tmp_path


@pytest.mark.parametrize(
    ("killer", "healthy"),
    [
        ("command_killer", "command_healthy"),
        ("command_killer", "function_healthy"),
        ("function_killer", "command_healthy"),
        ("thread_killer", "function_healthy"),
    ],
)
def test_ten_healthy_tasks_beside_one_that_kills_its_server(
    start_server: StartServer, home: Path, killer: str, healthy: str
) -> None:
    flags = ("--config", str(home / "pexecutor.toml"), "--handlers", str(home / "functions.py"))
    server = start_server(*flags)
    names = [f"healthy-{number}" for number in range(10)]
    tasks = [{"name": name, "handler": healthy} for name in names]
    tasks.insert(3, {"name": "killer", "handler": killer})
    assert server.client.post("/tasks", json=tasks).json()["SubmittedTasks"] == 11
    for _ in range(STARTS_MAX):
        if not server.wait_for_end(until=partial(all_have_ended, server)):
            break
        with suppress(AssertionError):  # the server may be killed before it prints its URL
            server = start_server(*flags)
    records = {record["name"]: record for record in finished(server)}
    assert {records[name]["outcome"] for name in names} == {"succeeded"}
    assert records["killer"]["outcome"] == "abandoned"
    assert records["killer"]["crashes"] == 3
    assert "`crashes_max`" in records["killer"]["error"]
    assert server.client.post("/tasks", json=[{"name": "killer"}]).json()["SubmittedTasks"] == 1
    server.signal(signal.SIGTERM)
    assert server.wait() == 0


def finished(server: ServerProcess) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.client.get("/tasks?state=finished").json()
    return found


def all_have_ended(server: ServerProcess) -> bool:
    return len(finished(server)) == 11


def test_a_stop_counts_as_no_crash(start_server: StartServer, home: Path) -> None:
    server = start_server("--drain-timeout", "0")
    task_id = server.client.post("/tasks", json={"name": "a", "duration": 60_000}).json()["id"]
    eventually(lambda: server.client.get(f"/tasks/{task_id}").json()["state"] == "running")
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    server = start_server("--drain-timeout", "0")
    record = server.client.get(f"/tasks/{task_id}").json()
    assert "crashes" not in record, "the contract's keys are the same without crashes"
