"""The server stops in the same way for each signal, for each signalled process, and for each way to launch it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from .conftest import LaunchAny, is_ready
from .process import WAIT_SECONDS_MAX, eventually

DRAIN_SECONDS = 10.0
"""Longer than the time that five loaded servers need from the first server's signal to the end of their short tasks."""

MARGIN_SECONDS = 10.0
WAITING = str(Path(__file__).with_name("waiting.py"))

SETTINGS = f"""
pool_size = 6
drain_timeout_seconds = {DRAIN_SECONDS}
log_format = "json"
handler_modules = [{WAITING!r}]

[handlers.command]
command = [
    "sh", "-c", 'touch "$3"; while ! [ -e "$1" ]; do sleep 0.05; done; sleep "$2"',
    "sh", "{{file}}", "{{seconds}}", "{{begun}}",
]
"""

CELLS = [
    ("pexecutor", "process"),
    ("pexecutor", "group"),
    ("hypercorn", "parent"),
    ("hypercorn", "worker"),
    ("hypercorn", "group"),
]

STOPPED_BY = {
    signal.SIGTERM: CELLS,
    signal.SIGINT: CELLS,
    signal.SIGHUP: [("hypercorn", "parent"), ("hypercorn", "group")],
}
"""The cells that each signal stops. SIGHUP makes Hypercorn's parent process stop its worker, and reloads elsewhere."""

KINDS = ("command", "coroutine", "thread")


class Cell:
    """A server, and the process to signal."""

    def __init__(self, launch_any: LaunchAny, launch: str, target: str, settings: Path, go: Path) -> None:
        data = go.with_name(f"data-{launch}-{target}")
        self.name = f"{launch}, {target}"
        self.launch, self.target, self.go = launch, target, go
        self.begun = go.with_name(f"begun-{launch}-{target}")
        self.begun.mkdir()
        self.process, self.client, self.log = launch_any(launch, settings, data)

    def submit(self, **seconds: dict[str, float]) -> None:
        """Submit a task of each kind and duration; the task's name contains both."""
        tasks = [
            {
                "name": f"{kind}-{name}",
                "handler": kind,
                "params": {
                    "begun": str(self.begun / f"{kind}-{name}"),
                    "file": str(self.go),
                    "seconds": time_of[kind],
                },
            }
            for name, time_of in seconds.items()
            for kind in time_of
        ]
        for task in tasks:
            if task["handler"] == "command":
                task["params"] = {key: str(value) for key, value in task["params"].items()}  # type: ignore[attr-defined]
        reply = self.client.post("/tasks", json=tasks)
        assert reply.json()["SubmittedTasks"] == len(tasks), reply.text
        # A running task may not have begun yet. A drain starts no handlers, so it releases such a task.
        eventually(lambda: len(list(self.begun.iterdir())) == len(tasks))

    def signal(self, number: signal.Signals) -> None:
        match self.target:
            case "group":
                os.killpg(self.process.pid, number)
            case "worker":
                os.kill(worker_of(self.process), number)
            case _:
                os.kill(self.process.pid, number)

    def events(self) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [{k: v for k, v in line.items() if k != "timestamp"} for line in lines]

    def stop_lines(self) -> list[dict[str, Any]]:
        return [line for line in self.events() if line["event"] in ("signalled to stop", "draining", "stopped")]


def worker_of(process: subprocess.Popen[bytes]) -> int:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    [worker] = [one for one in children if "spawn_main" in Path(f"/proc/{one}/cmdline").read_text()]
    return int(worker)


def start_all(launch_any: LaunchAny, tmp_path: Path, cells: list[tuple[str, str]] = CELLS) -> list[Cell]:
    settings = tmp_path / "settings.toml"
    settings.write_text(SETTINGS)
    started = [Cell(launch_any, launch, target, settings, tmp_path / "go") for launch, target in cells]
    for cell in started:
        eventually(lambda cell=cell: is_ready(cell.client))
    return started


def status_of(cell: Cell) -> int:
    return cell.process.wait(WAIT_SECONDS_MAX)


@pytest.mark.parametrize("number", STOPPED_BY)
def test_a_stop_is_the_same_whoever_is_signalled(launch_any: LaunchAny, tmp_path: Path, number: signal.Signals) -> None:
    cells = start_all(launch_any, tmp_path, STOPPED_BY[number])
    for cell in cells:
        cell.submit(
            short={"command": 0, "coroutine": 0, "thread": 0},
            long={"command": 60, "coroutine": 60, "thread": DRAIN_SECONDS + 1},
        )

    for cell in cells:
        cell.signal(number)
    for cell in cells:
        eventually(lambda cell=cell: len(cell.stop_lines()) == 2)
    (tmp_path / "go").touch()

    assert {cell.name: status_of(cell) for cell in cells} == {cell.name: 0 for cell in cells}
    for cell in cells:
        said = "parent" if cell.target == "parent" or number == signal.SIGHUP else number.name
        assert cell.stop_lines() == [
            {"event": "signalled to stop", "level": "info", "signal": said},
            {"event": "draining", "level": "info", "timeout_seconds": DRAIN_SECONDS, "running": 6},
            {"event": "stopped", "level": "info", "finished": 4, "released": 2, "kept": 2},
        ], cell.name
        assert [line for line in cell.events() if line["level"] not in ("info", "warning")] == []
        if (cell.launch, cell.target, number) != ("hypercorn", "group", signal.SIGHUP):
            assert (
                "Traceback" not in cell.log.read_text()
            )  # SIGHUP ends a helper process of multiprocessing, which prints a message about it


def test_the_bound_is_the_same_whoever_is_signalled(launch_any: LaunchAny, tmp_path: Path) -> None:
    cells = start_all(launch_any, tmp_path)
    for cell in cells:
        cell.submit(endless={"thread": 600})

    began = time.monotonic()
    for cell in cells:
        cell.signal(signal.SIGTERM)

    # Hypercorn's parent process discards the exit status of a worker that failed.
    expected = {cell.name: 1 if cell.launch == "pexecutor" else 0 for cell in cells}
    assert {cell.name: status_of(cell) for cell in cells} == expected
    assert time.monotonic() - began < DRAIN_SECONDS + MARGIN_SECONDS
    for cell in cells:
        assert [line["event"] for line in cell.stop_lines()] == ["signalled to stop", "draining"]
        assert "most recent call first" in cell.log.read_text(), cell.name
