"""What a dead server has left at work is found and ended; nobody else is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pexecutor import Running, Task
from pexecutor.handlers import leftovers
from pexecutor.handlers.leftovers import TASK_ID_VARIABLE, end_leftovers

from ..server.process import eventually

RUNNING = Running((7 << 40) + 42, Task("a"), 0.5, (), 1.0)

SLEEPS = "import time; print('.', flush=True); time.sleep(600)"
IGNORES = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEPS
STARTS_A_CHILD_WITHOUT_THE_MARK = f"""
import subprocess, sys
subprocess.Popen([sys.executable, "-c", {SLEEPS!r}], env={{}}).wait()
"""

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a process that carries the mark of a task, and wait until it is at work."""
    started: list[subprocess.Popen[str]] = []

    def start(program: str, task_id: str = RUNNING.id, *, group: bool = True) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            env={**os.environ, TASK_ID_VARIABLE: task_id},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=group,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == ".\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def ends(process: subprocess.Popen[str]) -> bool:
    return process.wait(timeout=20) != 0


async def test_what_carries_the_mark_is_ended(start: Start) -> None:
    process = start(SLEEPS)
    await end_leftovers([RUNNING])
    assert ends(process)


async def test_what_ignores_sigterm_is_killed(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "TERMINATE_SECONDS_MAX", 0.1)
    process = start(IGNORES)
    await end_leftovers([RUNNING])
    assert process.wait(timeout=20) == -9


async def test_what_is_in_a_group_with_it_is_ended(start: Start) -> None:
    process = start(STARTS_A_CHILD_WITHOUT_THE_MARK)
    [child] = children(process.pid)
    await end_leftovers([RUNNING])
    assert ends(process)
    assert eventually(lambda: is_gone(child))


async def test_nobody_else_is_ended(start: Start) -> None:
    other = start(SLEEPS, task_id="000007-4")
    await end_leftovers([RUNNING])
    await end_leftovers([])
    assert other.poll() is None


async def test_we_are_not_ended_when_we_carry_the_mark(start: Start) -> None:
    """A task that restarts its own server."""
    program = (
        "import os, trio; from pexecutor import Running, Task; from pexecutor.handlers.leftovers import end_leftovers;"
        "trio.run(end_leftovers, [Running((7 << 40) + 42, Task('a'), 0.5, (), 1.0)]); print('.', flush=True)"
    )
    assert start(program).wait(timeout=20) == 0


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False
