"""Edge cases of ending a process group: processes that cannot be ended, reaped, or started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from pexecutor import Context, HandlerFailedError
from pexecutor.handlers.output import Tail
from pexecutor.handlers.processes import group, proc
from pexecutor.handlers.processes.group import Program, run_group
from pexecutor.handlers.processes.pipes import Inlet

from ..conftest import Lab, task
from ..test_command import group_is_gone, stdout_of


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def zombie() -> Iterator[int]:
    """A process group whose only process has ended and has not been reaped."""
    process = subprocess.Popen(["true"], start_new_session=True)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    yield process.pid
    process.wait()


@pytest.fixture
def sleeper() -> Iterator[int]:
    process = subprocess.Popen(["sleep", "600"], start_new_session=True)
    yield process.pid
    process.kill()
    process.wait()


def is_zombie(pid: int) -> bool:
    seen = proc.look(pid)
    assert seen is not None
    return seen.zombie


def test_a_zombie_does_nothing_any_more(zombie: int) -> None:
    assert is_zombie(zombie)
    assert proc.is_dead_child(zombie)


def test_whoever_sleeps_is_at_work(sleeper: int) -> None:
    assert not is_zombie(sleeper)
    assert not proc.is_dead_child(sleeper)


def test_threads_that_outlive_the_first_are_at_work() -> None:
    """Their process looks like a zombie after its first thread ends."""
    program = "import ctypes, threading, time; threading.Thread(target=time.sleep, args=[600]).start(); "
    process = subprocess.Popen(
        [sys.executable, "-c", program + "print(flush=True); ctypes.CDLL(None).pthread_exit(None)"],
        start_new_session=True,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        stat = Path(f"/proc/{process.pid}/stat")
        while ") Z" not in stat.read_text():
            assert process.poll() is None
        assert not is_zombie(process.pid)
    finally:
        process.kill()
        process.communicate()


STUBBORN_CHILD = """
import os, signal, sys, time
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print(os.getpgid(0), flush=True)
    time.sleep(600)
"""


async def test_a_child_that_ignores_sigterm_does_not_outlive_a_leader_that_obeys(lab: Lab, context: Context) -> None:
    command = lab.python(STUBBORN_CHILD + "time.sleep(600)", kill_after=0.2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(command.run, context, task())
        led_by = int(await stdout_of(context))
        nursery.cancel_scope.cancel()
    assert group_is_gone(led_by)
    assert context.output.exit_code == -signal.SIGTERM


async def test_a_child_that_ignores_sigterm_does_not_outlive_a_leader_that_just_ends(
    lab: Lab, context: Context
) -> None:
    """The leader ends once its child reports that it runs, long before the child would end."""
    program = STUBBORN_CHILD.replace("if os.fork", "ready, told = os.pipe()\nif os.fork").replace(
        "    time.sleep(600)", "    os.write(told, b'x')\n    time.sleep(600)"
    )
    began = trio.current_time()
    assert await lab.python(program + "os.read(ready, 1)", kill_after=0.2).run(context, task()) == {"exit_code": 0}
    assert group_is_gone(int(context.output.snapshot().stdout))
    assert 0.2 <= trio.current_time() - began < 5


async def test_nobody_waits_for_a_zombie_that_its_parent_forgets(lab: Lab, context: Context) -> None:
    program = """
import os, time
ready, told = os.pipe()
if os.fork() == 0:
    if os.fork() == 0:
        os._exit(0)
    os.setsid()
    print(os.getpid(), flush=True)
    os.write(told, b"x")
    time.sleep(600)
os.read(ready, 1)
"""
    with trio.fail_after(3):
        await lab.python(program).run(context, task())
    assert proc.look(int(context.output.snapshot().stdout)) is None


async def test_what_lies_in_a_pipe_when_nobody_is_left_is_taken_without_waiting() -> None:
    tail = Tail()
    with Inlet(tail.append) as inlet:
        os.write(inlet.their_end, b"last words")
        inlet.sweep()  # although their end of the pipe is still open
        assert bytes(tail) == b"last words"
        inlet.hand_over()
        inlet.sweep()
    assert tail.seen == len(b"last words")


async def test_a_group_that_cannot_be_ended_is_a_failure_that_says_so(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def always_one(_: object) -> set[int]:
        return {2**22 + 1}  # no process has this number

    monkeypatch.setattr(group._Group, "_left", always_one)
    monkeypatch.setattr(group, "KILL_SECONDS_MAX", 0.2)
    with pytest.raises(HandlerFailedError, match=r"could not be ended within 0\.3 s") as failed:
        await run_group(Program(["true"], {}, kill_after_seconds=0.1), context.output)
    assert not failed.value.retryable


async def test_a_program_may_end_in_the_instant_of_the_cancel(lab: Lab, context: Context) -> None:
    """Whichever comes first, the task has exactly one of two outcomes."""
    command = lab.make(command=["true"])
    for delay_ms in range(12):
        with trio.fail_after(10), trio.move_on_after(delay_ms / 1000) as scope:
            await command.run(context, task())
        assert scope.cancelled_caught or context.output.exit_code == 0


async def test_no_file_is_left_open(lab: Lab, context: Context) -> None:
    commands = [
        lab.make(command=["true"], stdin=True),
        lab.make(command=["false"], stdin=True),
        lab.make(command=["no-such-program"], stdin=True),
    ]
    before = open_files()
    for command in commands * 3:
        with suppress(HandlerFailedError):
            await command.run(context, task(stdin="x"))
    with trio.move_on_after(0.05):
        await lab.make(command=["sleep", "600"], stdin=True).run(context, task(stdin="x"))
    assert open_files() == before


async def test_a_process_inherits_its_three_streams_and_nothing_else(lab: Lab, context: Context) -> None:
    read_end, write_end = os.pipe()
    try:
        os.set_inheritable(read_end, True)
        await lab.make(command=["sh", "-c", f"! test -e /proc/self/fd/{read_end}"]).run(context, task())
    finally:
        os.close(read_end)
        os.close(write_end)


async def test_the_exit_code_of_what_was_cut_off_is_kept(lab: Lab, context: Context) -> None:
    with trio.move_on_after(0.1):
        await lab.make(command=["sleep", "600"]).run(context, task())
    assert context.output.exit_code == -signal.SIGTERM
