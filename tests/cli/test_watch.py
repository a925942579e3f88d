"""Tests of ``watch`` in a real terminal: the screen, and the terminal's state afterwards."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import termios
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pexecutor.cli.record_text import seconds_of
from pexecutor.cli.watch.drawing import draw
from pexecutor.cli.watch.snapshot import Snapshot

from ..server.conftest import StartServer
from ..server.process import ServerProcess
from .conftest import SECONDS_MAX, Run, take_step
from .terminal import Terminal, in_terminal

CONTROL_CHARACTERS = 6

BAR = re.compile(r"[━╸╺]{10,}")


def row(screen: str, name: str) -> str:
    """Return the line that begins with a name, or an empty string."""
    return next((line for line in screen.splitlines() if re.match(rf"{re.escape(name)}\s", line)), "")


def is_drawn(screen: str) -> bool:
    return "q quits" in screen


def test_it_shows_what_runs_and_what_has_ended(server: ServerProcess, run: Run, steps_file: Path) -> None:
    run("submit", "broken", "--handler", "fails", "--wait")
    run("submit", "walk", "--handler", "steps", f"file={steps_file}", "steps=4")
    run("submit", "later", "--delay", "1h")
    with in_terminal("watch", "--url", server.url, "--interval", "0.1") as (terminal, _):
        screen = terminal.read_until(lambda screen: row(screen, "walk"))
        assert server.url in screen
        assert "serving" in screen
        assert "1 running, of 5" in row(screen, "pool")
        assert "0 pending, 1 scheduled, of 1000" in row(screen, "queue")
        assert BAR.search(row(screen, "pool"))
        assert row(screen, "broken").split()[2:4] == ["fails", "failed"]
        assert row(screen, "broken").endswith("because")
        take_step(steps_file)
        screen = terminal.read_until(lambda screen: "25%" in row(screen, "walk"))
        assert BAR.search(row(screen, "walk"))
        for _ in range(3):
            take_step(steps_file)
        screen = terminal.read_until(lambda screen: "succeeded" in row(screen, "walk"))
        assert not BAR.search(row(screen, "walk"))
        terminal.press(b"q")
        assert terminal.end() == 0


def test_a_sleeping_task_has_a_bar_too(server: ServerProcess, run: Run) -> None:
    run("submit", "nap", "--duration", "7d")
    with in_terminal("watch", "--url", server.url, "--interval", "0.1") as (terminal, _):
        screen = terminal.read_until(lambda screen: row(screen, "nap"))
        assert re.search(r"[━╸╺]{10,}\s+0%\s", row(screen, "nap"))


@pytest.mark.parametrize(
    ("members", "progress"),
    [
        ({"duration": 1000}, 0.25),
        ({"duration": 100}, 1.0),
        ({"duration": 0}, None),
        ({"duration": 0, "progress": {"done": 3, "total": 4}}, 0.75),
        ({"duration": 0, "progress": {"done": 5, "total": 4}}, 1.0),
        ({"duration": 0, "progress": {"done": 3, "total": None}}, None),
        ({"duration": 0, "progress": {"done": 0, "total": 0}}, None),
    ],
)
def test_how_far_a_task_is(members: dict[str, Any], progress: float | None) -> None:
    snapshot = Snapshot({}, [], [], taken_at=seconds_of("2026-11-25T00:00:00.250Z"))
    record = {"started_at": "2026-11-25T00:00:00.000Z", **members}
    assert snapshot.progress(record) == progress


def test_a_clock_that_is_behind_makes_no_negative_time() -> None:
    snapshot = Snapshot({}, [], [], taken_at=0.0)
    assert snapshot.elapsed({"started_at": "2026-11-25T00:00:00.000Z"}) == 0.0


def end_by_key(keys: bytes) -> Callable[[Terminal], int]:
    def end(terminal: Terminal) -> int:
        terminal.press(keys)
        return terminal.end()

    return end


def end_by_signal(number: signal.Signals) -> Callable[[Terminal], int]:
    def end(terminal: Terminal) -> int:
        terminal.signal(number)
        return terminal.end()

    return end


@pytest.mark.parametrize(
    ("end", "status"),
    [
        pytest.param(end_by_key(b"q"), 0, id="q"),
        pytest.param(end_by_key(b"Q"), 0, id="Q"),
        pytest.param(end_by_key(b"\x03"), 0, id="Ctrl-C"),
        pytest.param(end_by_key(b"\x04"), 0, id="Ctrl-D"),
        pytest.param(end_by_signal(signal.SIGTERM), 128 + signal.SIGTERM, id="SIGTERM"),
        pytest.param(end_by_signal(signal.SIGHUP), 128 + signal.SIGHUP, id="SIGHUP"),
    ],
)
def test_whatever_ends_it_the_terminal_is_as_it_was(
    server: ServerProcess, end: Callable[[Terminal], int], status: int
) -> None:
    with in_terminal("watch", "--url", server.url) as (terminal, before):
        terminal.read_until(is_drawn)
        assert terminal.settings() != before
        assert terminal.is_alternate()
        assert not terminal.cursor_is_shown()
        assert end(terminal) == status
        assert terminal.settings() == before
        assert not terminal.is_alternate()
        assert terminal.cursor_is_shown()
        assert b"Traceback" not in terminal.written


def test_other_keys_do_nothing_and_are_not_echoed(server: ServerProcess) -> None:
    with in_terminal("watch", "--url", server.url, "--interval", "0.1") as (terminal, _):
        terminal.read_until(is_drawn)
        assert terminal.settings()[CONTROL_CHARACTERS][termios.VSUSP] == b"\0", "Ctrl-Z is a key like others"
        terminal.press(b"x\x1a\r")
        drawn = terminal.written.count(b"q quits")
        terminal.read_until(lambda _: terminal.written.count(b"q quits") >= drawn + 2)
        assert b"x\r" not in terminal.written
        terminal.press(b"q")
        assert terminal.end() == 0


def test_it_fits_the_terminal_whatever_its_size(server: ServerProcess, run: Run) -> None:
    for number in range(30):
        run("submit", f"row-{number}", "--wait")
    with in_terminal("watch", "--url", server.url, "--interval", "3600", lines=40, columns=120) as (terminal, _):
        assert row(terminal.read_until(is_drawn), "row-20")
        terminal.resize(lines=22, columns=60)
        screen = terminal.read_until(is_drawn)
        assert row(screen, "row-29")
        assert not row(screen, "row-20")
        assert re.search(r"^and \d+ more$", screen, re.MULTILINE)
        assert screen.splitlines()[-1] == "q quits"
        terminal.resize(lines=2, columns=5)
        terminal.read_until(str.strip)
        terminal.resize(lines=40, columns=120)
        assert row(terminal.read_until(is_drawn), "row-20")


@pytest.mark.parametrize("columns", [80, 60, 40])
def test_outcomes_are_shown_in_any_width(server: ServerProcess, run: Run, columns: int) -> None:
    name = f"task-{columns}-with-quite-a-long-name-" + 40 * "x"
    run("submit", name, "--handler", "fails", f"why={60 * 'because '}", "--wait")
    with in_terminal("watch", "--url", server.url, lines=24, columns=columns) as (terminal, _):
        screen = terminal.read_until(is_drawn)
        [shown] = [
            line for line in screen.splitlines() if line.startswith(f"task-{columns}-") and "failed" in line.split()
        ]
        assert "ago" in shown or columns == 40
        assert "failed " in row(screen, "ended"), "the counts of outcomes"
        assert screen.splitlines()[-1] == "q quits"


def test_outcomes_are_shown_beside_many_running_tasks() -> None:
    times = {"started_at": "2026-11-25T00:00:00.000Z", "finished_at": "2026-11-25T00:00:01.000Z"}
    record = {"id": "000001-1", "handler": "sleep", "duration": 0, **times}
    running = [{**record, "name": f"runs-{number}"} for number in range(200)]
    ended = [{**record, "name": f"ended-{number}", "outcome": "timed_out"} for number in range(200)]
    store = {"running": 200, "pending": 0, "scheduled": 0, "queue_size": 9, "finished": {"timed_out": 200}}
    statistics = {"phase": "serving", "pool_size": 200, "finished_per_second": 1.0, "store": store}
    for lines in (24, 16):
        console = Console(width=80, height=lines, file=StringIO())
        console.print(draw(Snapshot(statistics, running, ended, 0.0), url="u", lost=None, lines=lines, columns=80))
        screen = console.file.getvalue()  # type: ignore[attr-defined]
        assert "timed_out" in row(screen, "ended-0")
        assert len(screen.splitlines()) <= lines


def test_a_server_that_drains_and_one_that_is_gone(start_server: StartServer, run: Run) -> None:
    server = start_server()
    run("submit", "long", "--duration", "600s", url=server.url)
    with in_terminal("watch", "--url", server.url, "--interval", "0.1") as (terminal, before):
        terminal.read_until(lambda screen: row(screen, "long"))
        run("drain", url=server.url)
        terminal.read_until(lambda screen: "draining" in screen.splitlines()[0])
        server.close()
        # A request may be in progress when the server ends; the next request is refused.
        screen = terminal.read_until(lambda screen: "connection lost" in screen and "Connection refused" in screen)
        assert row(screen, "long"), "what was seen last is still there"
        terminal.press(b"q")
        assert terminal.end() == 0
        assert terminal.settings() == before


def test_a_server_that_was_never_there_is_an_error_and_no_picture() -> None:
    with in_terminal("watch", "--url", "http://127.0.0.1:1") as (terminal, before):
        assert terminal.end() == 9
        assert terminal.text() == "pexecutor: cannot reach http://127.0.0.1:1: Connection refused"
        assert not terminal.is_alternate()
        assert terminal.settings() == before


def test_it_needs_a_terminal(run: Run) -> None:
    result = run("watch")
    assert (result.status, result.out, result.err.count("\n")) == (2, "", 1)
    assert "watch --json" in result.err


def test_for_programs_there_are_the_statistics(server: ServerProcess) -> None:
    command = [sys.executable, "-W", "error", "-m", "pexecutor", "watch", "--json", "--interval", "0.1"]
    environment = os.environ | {"PEXECUTOR_URL": server.url}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        seen: list[dict[str, Any]] = [json.loads(process.stdout.readline()) for _ in range(3)]
        process.send_signal(signal.SIGINT)
        _, complaint = process.communicate(timeout=SECONDS_MAX)
    assert [document["statistics"]["phase"] for document in seen] == 3 * ["serving"]
    assert (process.returncode, complaint) == (130, b"pexecutor: interrupted\n")
