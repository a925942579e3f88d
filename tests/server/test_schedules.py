"""Schedules of a real server: they fire by themselves, and a restart keeps them as the settings and the store say."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from .conftest import Run, StartServer
from .process import ServerProcess, eventually

EVERY_SECOND = '[schedules.tick]\nevery = 1000\ntask = {name = "tick", handler = "sleep"}\n'
NIGHTLY = '[schedules.nightly]\ncron = "0 3 * * *"\ntask = {name = "dump", handler = "sleep"}\n'


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    file = tmp_path / "settings.toml"
    file.write_text(EVERY_SECOND + NIGHTLY)
    return file


def schedule(server: ServerProcess, name: str) -> Any:
    reply = server.client.get(f"/schedules/{name}")
    return reply.json() if reply.status_code == 200 else None


def fired(server: ServerProcess) -> list[str]:
    """The times of the occurrences of ``tick``, the latest first."""
    occurrences = schedule(server, "tick")["occurrences"]
    return [occurrence["at"] for occurrence in occurrences if "task_id" in occurrence]


def test_a_table_fires_and_outlives_a_kill(start_server: StartServer, settings: Path) -> None:
    server = start_server("--config", str(settings))
    before = schedule(server, "tick")
    assert (before["owner"], before["occurrences"]) == ("file", [])
    eventually(lambda: len(fired(server)) >= 2)
    nightly = schedule(server, "nightly")
    server.signal(signal.SIGKILL)
    server.wait()

    server = start_server("--config", str(settings))
    after = schedule(server, "tick")
    assert after["start_at"] == before["start_at"]
    assert schedule(server, "nightly") == nightly
    number = len(fired(server))
    eventually(lambda: len(fired(server)) > number)
    times = fired(server)
    assert len(set(times)) == len(times), "an occurrence was fired twice"
    assert {time[19:] for time in times} == {before["start_at"][19:]}, "an occurrence was not a multiple of the period"
    names = {task["name"] for task in server.client.get("/tasks/finished").json()}
    assert names == {"tick"}


def test_a_restart_removes_what_is_gone_from_the_file_alone(start_server: StartServer, settings: Path) -> None:
    server = start_server("--config", str(settings))
    server.client.put("/schedules/mine", json={"cron": "0 4 * * *", "task": {"name": "mine"}})
    assert server.client.put("/schedules/tick", json={"every": 5000, "task": {"name": "t"}}).status_code == 409
    server.client.patch("/schedules/nightly", json={"paused": True})
    server.signal(signal.SIGTERM)
    assert server.wait() == 0

    settings.write_text(NIGHTLY)
    server = start_server("--config", str(settings))
    names = {each["name"]: each["paused"] for each in server.client.get("/schedules").json()}
    assert names == {"mine": False, "nightly": True}


def test_an_invalid_table_is_a_usage_error(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('[schedules.nightly]\ncron = "0 25 * * *"\ntask = {name = "dump"}\n')
    ended = run("--config", str(file), "-port", "0")
    assert ended.returncode == 2
    [line] = ended.stderr.splitlines()
    assert line.startswith("pexecutor: schedules.nightly.cron: '0 25 * * *' cannot be read: its hour is invalid")
    assert 'for example "0 3 * * *"' in line
