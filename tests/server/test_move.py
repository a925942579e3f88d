"""Tests of ``pexecutor move``, with a server that serves the source and then one that serves the target."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from .conftest import Run, StartServer
from .process import ServerProcess, eventually


@pytest.fixture
def here(tmp_path: Path) -> str:
    return f"sqlite:{tmp_path}/data/pexecutor.db"


@pytest.fixture
def there(tmp_path: Path) -> str:
    return f"sqlite:{tmp_path}/elsewhere/pexecutor.db"


def submit(server: ServerProcess, **task: Any) -> str:
    reply = server.client.post("/tasks", json=task)
    assert reply.status_code == 202
    task_id: str = reply.json()["id"]
    return task_id


def stop(server: ServerProcess) -> int:
    server.signal(signal.SIGTERM)
    return server.wait()


def test_tasks_go_on_elsewhere(start_server: StartServer, run: Run, here: str, there: str, tmp_path: Path) -> None:
    first = start_server("--pool-size", "1", "--drain-timeout", "0")
    running = submit(first, name="running", duration=1)
    assert first.client.get(f"/tasks/{running}?wait=10").json()["state"] == "finished"
    first.client.post("/tasks", json=[{"name": "cut", "duration": 60_000}, {"name": "waits", "duration": 2}])
    later = submit(first, name="later", delay=600_000)
    eventually(lambda: first.client.get("/tasks/running").json())
    refused = run("move", "--from", here, "--to", there)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert f"is in use by the server with pid {first.pid}: stop that server" in refused.stderr
    assert stop(first) == 0

    told = run("move", "--from", "sqlite", "--to", there, "--dry-run")
    assert told.returncode == 0
    assert told.stdout == (
        f"would be moved from {here} to {there}: 3 in flight (2 pending, 1 scheduled)\n"
        "their ids do not change\n"
        "finished tasks that are not moved: 1; --history moves them, too\n"
    )
    told = run("move", "--from", here, "--to", there, "--history", "--json")
    assert json.loads(told.stdout) == {
        "source": here,
        "target": there,
        "in_flight": {"pending": 2, "scheduled": 1},
        "history": 1,
        "history_left": 0,
        "schedules": 0,
        "deliveries": 0,
        "ids_kept": True,
    }

    refused = run("serve", "--port", "0")
    assert refused.returncode == 1
    assert f"have been moved to {there}: serve that store" in refused.stderr
    second = start_server("--data-dir", str(tmp_path / "elsewhere"))
    assert second.client.get(f"/tasks/{running}").json()["outcome"] == "succeeded"
    assert second.client.get(f"/tasks/{later}").json()["state"] == "scheduled"
    assert second.client.post("/tasks", json={"name": "later"}).status_code == 409


def test_what_ran_when_the_server_was_killed(start_server: StartServer, run: Run, here: str, there: str) -> None:
    server = start_server()
    submit(server, name="a", duration=60_000, on_crash="fail")
    eventually(lambda: server.client.get("/tasks/running").json())
    server.signal(signal.SIGKILL)
    server.wait()
    assert "('a')" in run("move", "--from", here, "--to", there).stderr
    told = run("move", "--from", here, "--to", there, "--recover")
    assert told.stdout == (
        f"moved from {here} to {there}: 0 in flight\ntheir ids do not change\nfinished tasks that are not moved: 1\n"
    )


def test_a_source_that_nobody_meant(start_server: StartServer, run: Run, here: str, there: str) -> None:
    """Without the ``--config`` of the server, ``sqlite`` is a file that holds nothing, or none."""
    missing = run("move", "--from", "sqlite", "--to", there, "--dry-run")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert f"there is no file {here.removeprefix('sqlite:')}: check --from" in missing.stderr
    stop(start_server())
    dry = run("move", "--from", here, "--to", there, "--dry-run")
    assert dry.returncode == 0
    assert dry.stderr.startswith(f"pexecutor: {here} has no tasks and no schedules: if the server's store is another")


@pytest.mark.parametrize(
    ("arguments", "status", "complaint"),
    [
        (("--from", "memory", "--to", "sqlite"), 2, "--from cannot be memory"),
        (("--from", "sqlite", "--to", "memory"), 2, "--to cannot be memory"),
        (("--from", "postgres://x", "--to", "sqlite"), 2, "the store cannot be 'postgres'"),
        (("--from", "sqlite:nowhere.db", "--to", "sqlite"), 1, "there is no file"),
        (
            (
                "--from",
                "sqlite:nowhere.db",
            ),
            2,
            "--to",
        ),
        (("--from", "sqlite", "--to", "sqlite:x.db", "--queue-size", "0"), 2, "--queue-size cannot be '0'"),
        (("--from", "sqlite:x.db", "--to", "sqlite:x.db"), 2, "--from and --to are both sqlite:"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be(run: Run, arguments: tuple[str, ...], status: int, complaint: str) -> None:
    result = run("move", *arguments)
    assert result.returncode == status
    assert complaint in result.stderr
    assert not result.stdout


def test_an_undo(start_server: StartServer, run: Run, here: str, there: str) -> None:
    server = start_server()
    submit(server, name="later", delay=600_000)
    stop(server)
    assert "there is nothing to undo" in run("move", "--from", here, "--to", there, "--undo").stderr
