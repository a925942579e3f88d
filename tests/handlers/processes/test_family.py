"""However a process escapes from its command, it is killed and reaped before the attempt ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from pexecutor import Context, HandlerFailedError
from pexecutor.handlers import Handler
from pexecutor.handlers.processes import group, leader, proc
from pexecutor.handlers.processes.family import reap_orphans

from ..conftest import Lab, task

HERE = "import os, signal, subprocess, sys, time\n"

LAST = 'echo $$ > "$0"; exec sleep 600'
"""The escaped process: it writes its pid to the file in its first argument, and sleeps."""

ESCAPES = {
    "timeout": 'timeout 600 sh -c "$1" "$0"',
    "timeout in the background": 'timeout 600 sh -c "$1" "$0" & wait',
    "setsid": 'setsid sh -c "$1" "$0" & wait',
    "setsid --fork": 'setsid --fork sh -c "$1" "$0"; sleep 600',
    "nohup": 'nohup sh -c "$1" "$0" >/dev/null 2>&1 & wait',
    "nohup setsid": 'nohup setsid sh -c "$1" "$0" >/dev/null 2>&1 </dev/null & sleep 600',
    "set -m": 'set -m; sh -c "$1" "$0" & wait',
    "env -i": 'env -i /bin/sh -c "$1" "$0" & wait',
    "env -i setsid": 'env -i /usr/bin/setsid /bin/sh -c "PATH=/bin:/usr/bin; $1" "$0" >/dev/null 2>&1 & sleep 600',
    "two env -i setsid": '(env -i /usr/bin/setsid -f /usr/bin/env -i /usr/bin/setsid -f /bin/sh -c "'
    'PATH=/bin:/usr/bin; $1" "$0" >/dev/null 2>&1 </dev/null) & sleep 600',
    "ignores SIGTERM": """setsid sh -c 'trap "" TERM; echo $$ > "$0"; while :; do sleep 1; done' "$0" & wait""",
}

PYTHON_ESCAPES = {
    "setpgrp": "if os.fork() == 0: os.setpgrp(); last()\ntime.sleep(600)",
    "daemon": """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.chdir("/")
        os.closerange(0, 64)
        os.execve("/bin/sh", ["sh", "-c", "PATH=/bin:/usr/bin; " + sys.argv[2], sys.argv[1]], {})
    os._exit(0)
time.sleep(600)
""",
    "a chain of daemons": """
for _ in range(5):
    if os.fork():
        if _ == 0:
            time.sleep(600)
        os._exit(0)
    os.setsid()
os.execve("/bin/sh", ["sh", "-c", "PATH=/bin:/usr/bin; " + sys.argv[2], sys.argv[1]], {})
""",
    "a subreaper of its own": """
import ctypes
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        last()
    os._exit(0)
time.sleep(600)
""",
}

LAST_IN_PYTHON = 'def last(): os.execvp("sh", ["sh", "-c", sys.argv[2], sys.argv[1]])\n'


async def pid_in(file: Path) -> int:
    with trio.fail_after(20):
        while not (file.exists() and file.read_text().strip()):  # noqa: ASYNC110, ASYNC240
            await trio.sleep(0.01)
    return int(file.read_text())  # noqa: ASYNC240


@pytest.fixture(params=[*ESCAPES, *PYTHON_ESCAPES])
def escape(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    file = str(tmp_path / "pid")
    if request.param in ESCAPES:
        return ["bash", "-c", ESCAPES[request.param], file, LAST]
    return [sys.executable, "-c", HERE + LAST_IN_PYTHON + PYTHON_ESCAPES[request.param], file, LAST]


async def test_no_escape_outlives_a_cancel(lab: Lab, context: Context, escape: list[str], tmp_path: Path) -> None:
    command = lab.make(command=escape_braces(escape), kill_after=0.3)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(command.run, context, task())
        pid = await pid_in(tmp_path / "pid")
        assert proc.look(pid) is not None
        nursery.cancel_scope.cancel()
    assert proc.look(pid) is None, "it was ended, and reaped"


async def test_no_escape_outlives_the_end_of_its_leader(
    lab: Lab, context: Context, escape: list[str], tmp_path: Path
) -> None:
    """The leader is killed, so each of its children becomes an orphan."""
    command = lab.make(command=escape_braces(escape), kill_after=0.3)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fails, command, context)
        pid = await pid_in(tmp_path / "pid")
        while not leader._leaders:  # noqa: ASYNC110  # the process runs before it is listed there
            await trio.sleep(0.01)
        [running] = leader._leaders
        os.kill(running, signal.SIGKILL)
    assert proc.look(pid) is None


async def fails(command: Handler, context: Context) -> None:
    with pytest.raises(HandlerFailedError, match="ended by SIGKILL"):
        await command.run(context, task())


def escape_braces(command: list[str]) -> list[str]:
    return [argument.replace("{", "{{").replace("}", "}}") for argument in command]


async def test_dead_orphans_are_reaped_while_the_leader_runs(
    lab: Lab, context: Context, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As process 1 of a container, or as a child subreaper, the server becomes the parent of each orphan."""
    monkeypatch.setattr(group, "REAP_SECONDS", 0.05)
    file = tmp_path / "pids"
    orphans = f"for i in $(seq 20); do (sleep 0.01 & echo $! >> {file}); (setsid sleep 0.01 &); done"
    nursery.start_soon(lab.make(command=["bash", "-c", f"{orphans}; sleep 600"]).run, context, task())
    with trio.fail_after(20):
        while not file.exists() or len(file.read_text().split()) < 20:  # noqa: ASYNC110
            await trio.sleep(0.01)
        while any(proc.is_dead_child(child) for child in proc.our_children() or ()):  # noqa: ASYNC110
            await trio.sleep(0.01)
        while any(proc.look(int(pid)) for pid in file.read_text().split()):  # noqa: ASYNC110
            await trio.sleep(0.01)
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("own_session", [False, True])
async def test_exit_statuses_that_a_function_waits_for_are_left_to_it(
    lab: Lab, context: Context, own_session: bool
) -> None:
    """A function in a thread has child processes of the server itself. Ending or reaping a command must ignore them."""
    process = subprocess.Popen(["sh", "-c", "exit 7"], start_new_session=own_session)  # noqa: ASYNC220
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222
    await lab.make(command=["sh", "-c", "setsid sleep 600 & exit 0"]).run(context, task())
    reap_orphans()
    assert process.wait() == 7


@pytest.mark.parametrize("own_session", [False, True])
async def test_processes_of_a_function_are_not_ended_by_the_end_of_a_command(
    lab: Lab, context: Context, own_session: bool
) -> None:
    process = subprocess.Popen(["sleep", "600"], start_new_session=own_session)  # noqa: ASYNC220
    try:
        await lab.make(command=["sh", "-c", "setsid sleep 600 & exit 0"]).run(context, task())
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


async def test_the_end_of_one_command_leaves_the_escapees_of_another_alone(
    lab: Lab, context: Context, nursery: trio.Nursery, tmp_path: Path
) -> None:
    file = tmp_path / "pid"
    daemon = f'env -i /usr/bin/setsid -f /bin/sh -c "echo \\$\\$ > {file}; exec /bin/sleep 600"; sleep 600'
    nursery.start_soon(lab.make(command=["bash", "-c", daemon]).run, context, task())
    pid = await pid_in(file)
    await lab.make(command=["sh", "-c", "setsid sleep 600 & exit 0"]).run(Context("000001-2", "b"), task())
    assert proc.look(pid) is not None
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "escape",
    ['setsid -f sh -c "$1" "$0"; sleep 600', 'env -i /usr/bin/setsid /bin/sh -c "PATH=/bin:/usr/bin; $1" "$0" & wait'],
    ids=["tells its task by its environment", "tells its task by its parents"],
)
async def test_escapes_are_found_where_no_process_can_be_tagged(
    lab: Lab, context: Context, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, escape: str
) -> None:
    """This happens in a server that was itself started by a task."""
    monkeypatch.setattr(proc, "can_tag", lambda: False)
    command = lab.make(command=["bash", "-c", escape, str(tmp_path / "pid"), LAST])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(command.run, context, task())
        pid = await pid_in(tmp_path / "pid")
        nursery.cancel_scope.cancel()
    assert proc.look(pid) is None
