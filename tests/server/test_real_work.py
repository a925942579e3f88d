"""Commands and functions in a real server: however they end, none of their processes remains."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from ..handlers.test_command import STUBBORN_FAMILY, group_is_gone
from .conftest import StartServer
from .process import ServerProcess, eventually

MODULE = """
import time
from pexecutor import handler

@handler
def blocks(context, *, seconds: float) -> str:
    time.sleep(seconds)
    return "done all the same"
"""


@pytest.fixture
def server(start_server: StartServer, tmp_path: Path) -> ServerProcess:
    """A server with a command whose processes ignore SIGTERM, and with a function that blocks a thread."""
    (tmp_path / "family.py").write_text(STUBBORN_FAMILY)
    (tmp_path / "mine.py").write_text(MODULE)
    settings = tmp_path / "settings.toml"
    settings.write_text(
        f'[handlers.family]\ncommand = ["{sys.executable}", "{tmp_path}/family.py"]\nkill_after = 0.2\n'
    )
    return start_server("--config", str(settings), "--handlers", str(tmp_path / "mine.py"), "--drain-timeout", "30")


def start_family(server: ServerProcess, **fields: Any) -> tuple[str, int]:
    """Submit the command; return its task's id, and the process group once it exists."""
    reply = server.client.post("/tasks", json={"name": "a", "handler": "family", **fields})
    assert reply.status_code == 202, reply.text
    task_id = reply.json()["id"]
    output = eventually(lambda: show(server, task_id).get("output", {}).get("stdout"))
    return task_id, int(output)


def show(server: ServerProcess, task_id: str, wait: float = 0) -> dict[str, Any]:
    record: dict[str, Any] = server.client.get(f"/tasks/{task_id}?wait={wait}").json()
    return record


def test_after_a_cancel_nobody_is_left_when_the_record_says_so(server: ServerProcess) -> None:
    task_id, group = start_family(server)
    assert not group_is_gone(group)
    assert server.client.delete(f"/tasks/{task_id}").status_code == 202
    assert server.client.post("/tasks", json={"name": "a"}).status_code == 409, "the name is held until they are gone"
    assert show(server, task_id, wait=10)["outcome"] == "cancelled"
    assert group_is_gone(group)
    assert server.client.post("/tasks", json={"name": "a"}).status_code == 202


def test_after_a_timeout_nobody_is_left_when_the_record_says_so(server: ServerProcess) -> None:
    task_id, group = start_family(server, timeout=700)
    assert show(server, task_id, wait=10)["outcome"] == "timed_out"
    assert group_is_gone(group)


def test_after_a_second_signal_nobody_is_left(server: ServerProcess) -> None:
    _, group = start_family(server)
    server.signal(signal.SIGTERM)
    eventually(lambda: server.client.get("/readyz").status_code == 503)
    assert not group_is_gone(group)
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert group_is_gone(group)
    assert server.log_events()[-1]["released"] == 1


def test_after_a_drain_that_took_too_long_nobody_is_left(start_server: StartServer, tmp_path: Path) -> None:
    settings = tmp_path / "settings.toml"
    (tmp_path / "family.py").write_text(STUBBORN_FAMILY)
    settings.write_text(
        f'[handlers.family]\ncommand = ["{sys.executable}", "{tmp_path}/family.py"]\nkill_after = 0.1\n'
    )
    server = start_server("--config", str(settings), "--drain-timeout", "0.1")
    _, group = start_family(server)
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    assert group_is_gone(group)
    assert server.log_events()[-1]["released"] == 1


def test_a_thread_that_outlasts_its_timeout_is_told_of_honestly(server: ServerProcess) -> None:
    task = {"name": "b", "handler": "blocks", "params": {"seconds": 0.8}, "timeout": 100}
    task_id = server.client.post("/tasks", json=task).json()["id"]
    assert show(server, task_id, wait=0.4)["state"] == "running", "past its timeout, and still at work"
    assert server.client.post("/tasks", json={"name": "b"}).status_code == 409
    record = show(server, task_id, wait=10)
    assert record["outcome"] == "timed_out"
    assert "timed out after 100 ms; the handler could not be interrupted" in record["error"]
    assert "result" not in record
