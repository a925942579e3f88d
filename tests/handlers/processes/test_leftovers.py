"""Processes that a dead server left running are found and ended; no other process is."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio

from pexecutor import Running, Task
from pexecutor.handlers.processes import leftovers, proc
from pexecutor.handlers.processes.leftovers import end_leftovers, file_identity
from pexecutor.handlers.processes.mark import (
    SERVER_VARIABLE,
    STORE_VARIABLE,
    TASK_ID_VARIABLE,
    marking_for,
    next_tag,
    store_text,
)

from ...server.process import eventually

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
    """Start a process with the mark of a task, and wait until it runs."""
    started: list[subprocess.Popen[str]] = []

    def start(
        program: str, task_id: str = RUNNING.id, *, group: bool = True, **variables: str
    ) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            env={**os.environ, TASK_ID_VARIABLE: task_id, **variables},
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
    """This happens if a task restarts its own server."""
    program = (
        "import os, trio; from pexecutor import Running, Task;"
        "from pexecutor.handlers.processes.leftovers import end_leftovers;"
        "trio.run(end_leftovers, [Running((7 << 40) + 42, Task('a'), 0.5, (), 1.0)]); print('.', flush=True)"
    )
    assert start(program).wait(timeout=20) == 0


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_gone(pid: int) -> bool:
    seen = proc.look(pid)
    return seen is None or seen.zombie


def mark_of(store: str, server: int) -> dict[str, str]:
    return {STORE_VARIABLE: store_text(store), SERVER_VARIABLE: str(server)}


@pytest.fixture
def dead_pid() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


async def test_a_process_of_the_store_whose_server_is_dead_is_ended(start: Start, dead_pid: int) -> None:
    """This holds whatever the store knows of the task, because the start of a run may not have reached the disk."""
    process = start(SLEEPS, task_id="000007-5", **mark_of("the store", dead_pid))
    await end_leftovers([], store=lambda: "the store")
    assert ends(process)


async def test_a_process_whose_server_lives_is_left_alone(start: Start) -> None:
    """Two servers can have the same task ids, if one store is a copy of the other."""
    process = start(SLEEPS, **mark_of("the store", os.getpid()))
    await end_leftovers([RUNNING], store=lambda: "the store")
    assert process.poll() is None


async def test_a_process_of_another_store_is_left_alone(start: Start, dead_pid: int) -> None:
    process = start(SLEEPS, **mark_of("the original", dead_pid))
    await end_leftovers([RUNNING], store=lambda: "a copy")
    assert process.poll() is None


async def test_a_process_that_has_the_pid_of_the_dead_server_is_not_taken_for_it(start: Start) -> None:
    """The process is younger than the leftovers of the dead server."""
    leftover = start(SLEEPS, **mark_of("the store", 1))  # as old as this test
    await trio.sleep(0.05)  # more than a clock tick
    later = subprocess.Popen(["sleep", "600"])  # noqa: ASYNC220
    try:
        assert leftovers._outlived(leftover.pid, later.pid)
        assert not leftovers._outlived(leftover.pid, os.getpid())
    finally:
        later.kill()
        later.wait()


async def test_a_process_without_any_environment_is_found_by_its_tag(start: Start, dead_pid: int) -> None:
    process = start("import os; os.execve('/bin/sh', ['sh', '-c', 'echo .; exec /bin/sleep 600'], {})")
    with marking_for(lambda: "the store"):
        tag = next_tag()
    of_the_dead = tag ^ (os.getpid() << 15) ^ (dead_pid << 15)
    resource.prlimit(process.pid, resource.RLIMIT_RTTIME, (1 << 61 | of_the_dead, resource.RLIM_INFINITY))
    await end_leftovers([], store=lambda: "another store")
    assert process.poll() is None
    await end_leftovers([], store=lambda: "the store")
    assert ends(process)


def test_a_copy_of_a_file_is_another_store(tmp_path: Path) -> None:
    original, copy, link = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    original.write_text("tasks")
    copy.write_text("tasks")
    link.hardlink_to(original)
    assert file_identity(original) == file_identity(link) != file_identity(copy)
    assert file_identity(tmp_path / "missing") == ""
