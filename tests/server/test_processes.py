"""Processes of commands and their server: signals to both, copies of a store's file, and descriptors."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pexecutor.handlers.processes.proc import list_processes, look

from .conftest import Run, StartServer
from .process import ServerProcess, eventually

SETTINGS = """
[handlers.command]
command = ["sh", "-c", "echo $$; exec sleep 600"]

[handlers.shell]
command = ["sh", "-c", "echo $$; sleep 600; exit $?"]

[handlers.quick]
command = ["true"]

[handlers.orphans]
command = ["sh", "-c", "for i in $(seq 100); do (setsid sleep 0.0$i &) ; (sleep 0.0$i &) ; done; echo $$; sleep 600"]
"""

FUNCTIONS = """
import os, time
import pexecutor

@pexecutor.handler(process=True)
def function(context) -> None:
    print(os.getpid(), flush=True)
    time.sleep(600)
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    monkeypatch.setenv("PEXECUTOR_DATA_DIR", str(tmp_path))
    (tmp_path / "settings.toml").write_text(SETTINGS)
    (tmp_path / "functions.py").write_text(FUNCTIONS)
    return ("--config", str(tmp_path / "settings.toml"), "--handlers", str(tmp_path / "functions.py"))


def start_task(server: ServerProcess, handler: str) -> tuple[str, int]:
    """Start a task; return its id and the process that runs it."""
    task_id = server.client.post("/tasks", json={"name": handler, "handler": handler}).json()["id"]
    output = eventually(lambda: server.client.get(f"/tasks/{task_id}").json().get("output", {}).get("stdout"))
    return task_id, int(output.split()[0])


@pytest.mark.parametrize(
    ("handler", "number", "server_first"),
    [
        ("command", signal.SIGTERM, False),
        ("command", signal.SIGTERM, True),
        ("command", signal.SIGINT, False),
        ("shell", signal.SIGTERM, False),
        ("function", signal.SIGTERM, True),
        ("function", signal.SIGINT, False),
    ],
)
def test_a_command_that_is_signalled_with_its_server_is_released(
    start_server: StartServer, settings: tuple[str, ...], handler: str, number: signal.Signals, server_first: bool
) -> None:
    """A service manager signals both processes, in either order; a process group gets the signal at once."""
    server = start_server(*settings)
    task_id, pid = start_task(server, handler)
    if server_first:
        server.signal(number)
        eventually(lambda: server.client.get("/readyz").status_code == 503)
    os.killpg(pid, number)
    if not server_first:
        time.sleep(0.2)  # wait until the server has seen the command end; only then signal the server
        server.signal(number)
    began = time.monotonic()
    assert server.wait() == 0
    assert time.monotonic() - began < 10, "nothing waits for the end of the drain"
    lines = [json.loads(line) for line in server.log_text().splitlines() if line.startswith("{")]
    [stopped] = [event for event in lines if event["event"] == "stopped"]
    assert (stopped["released"], stopped["kept"], stopped["finished"]) == (1, 1, 0)
    again = start_server(*settings)
    assert eventually(lambda: again.client.get(f"/tasks/{task_id}").json()["state"] == "running")


def test_a_command_that_a_signal_ends_while_the_server_serves_has_failed(
    start_server: StartServer, settings: tuple[str, ...]
) -> None:
    server = start_server(*settings)
    task_id, pid = start_task(server, "command")
    os.kill(pid, signal.SIGKILL)
    record = server.client.get(f"/tasks/{task_id}?wait=20").json()
    assert (record["outcome"], record["error"]) == ("failed", "ended by SIGKILL")


def test_a_server_on_a_copy_leaves_the_commands_of_the_other_alone(
    start_server: StartServer, settings: tuple[str, ...], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = start_server(*settings)
    _, pid = start_task(first, "command")
    (tmp_path / "copy").mkdir()
    assert run("db", "backup", str(tmp_path / "copy" / "pexecutor.db")).returncode == 0
    monkeypatch.setenv("PEXECUTOR_DATA_DIR", str(tmp_path / "copy"))
    copy = start_server(*settings)
    [task] = eventually(lambda: copy.client.get("/tasks/running").json())
    assert task["name"] == "command"
    assert is_at_work(pid)
    first.signal(signal.SIGKILL)
    first.wait()
    copy.signal(signal.SIGKILL)
    copy.wait()
    copy = start_server(*settings)
    assert is_at_work(pid)
    monkeypatch.setenv("PEXECUTOR_DATA_DIR", str(tmp_path))
    first = start_server(*settings)
    assert not is_at_work(pid)


LIMITED = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
sys.argv[0] = "pexecutor"
runpy.run_module("pexecutor", run_name="__main__")
"""


@pytest.fixture
def connections() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.usefixtures("each_server")
def test_idle_connections_leave_descriptors_for_commands(
    start_server: StartServer, settings: tuple[str, ...], connections: ExitStack
) -> None:
    server = start_server(*settings, command=("-c", LIMITED, "-port", "0", "--log-format", "json"))
    assert server.client.get("/livez").status_code == 200  # this connection stays open
    host, port = server.url.removeprefix("http://").split(":")
    for _ in range(255):
        connections.enter_context(socket.create_connection((host, int(port))))
    names = [{"name": f"task-{number}", "handler": "quick"} for number in range(60)]
    assert server.client.post("/tasks", json=names).json()["SubmittedTasks"] == 60
    finished = eventually(lambda: len(page := server.client.get("/tasks/finished").json()) == 60 and page)
    assert {task["outcome"] for task in finished} == {"succeeded"}
    assert "fewer connections than connections_max" in server.log_text()


def test_orphans_do_not_stay_as_zombies(start_server: StartServer, settings: tuple[str, ...]) -> None:
    server = start_server(*settings)
    start_task(server, "orphans")
    assert eventually(lambda: zombies_of(server.pid) == [])


def is_at_work(pid: int) -> bool:
    seen = look(pid)
    return seen is not None and not seen.zombie


def zombies_of(parent: int) -> list[int]:
    seen = [look(pid) for pid in list_processes()]
    return [process.pid for process in seen if process is not None and process.zombie and process.parent == parent]
