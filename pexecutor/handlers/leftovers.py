"""Processes that outlived their server: found by a mark in their environment, and ended before their task runs again.

A server that is killed cannot end what it started. So each process that runs for a task has the task's id in its
environment, and its children have it from there. Before a stored task that was running is run again, or gets its
outcome, the next server ends every process that carries its id, and whoever is in a process group with one: SIGTERM,
some time, SIGKILL.

What is out of reach: a process that both gave up the mark (``env -i``) and left the group, and those of another user.
(The idea is that of Jenkins' ``ProcessTreeKiller``. Roads not taken: to write down the number of a group once it has
started, because a server may die in between; ``PR_SET_PDEATHSIG``, which reaches the child alone, and fires when the
thread ends that started it.)
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from pathlib import Path
from typing import Final

import trio

from ..task import Running
from .context import Context

TASK_ID_VARIABLE: Final = "PEXECUTOR_TASK_ID"
TASK_NAME_VARIABLE: Final = "PEXECUTOR_TASK_NAME"
TASK_TOKEN_VARIABLE: Final = "PEXECUTOR_TASK_TOKEN"

TERMINATE_SECONDS_MAX: Final = 3.0
"""How long leftovers have between SIGTERM and SIGKILL."""

GONE_SECONDS_MAX: Final = 5.0
"""How long they may take to be gone after SIGKILL; then the start goes on without them."""

POLL_SECONDS: Final = 0.02


def marked(environment: Mapping[str, str], context: Context) -> dict[str, str]:
    """The environment of a process that runs for a task."""
    marks = {TASK_ID_VARIABLE: context.id, TASK_NAME_VARIABLE: context.name, TASK_TOKEN_VARIABLE: str(context.token)}
    return {**environment, **marks}


async def end_leftovers(running: Sequence[Running]) -> None:
    """End what the tasks of a server that died have left at work.

    Parameters:
        running: the tasks that were running when it died.
    """
    marks = {f"{TASK_ID_VARIABLE}={record.id}".encode() for record in running}
    if not marks:
        return
    for number, seconds in ((signal.SIGTERM, TERMINATE_SECONDS_MAX), (signal.SIGKILL, GONE_SECONDS_MAX)):
        signalled: set[int] = set()
        with trio.move_on_after(seconds):
            while leftovers := await trio.to_thread.run_sync(_carriers, marks):
                _signal(leftovers - signalled, number)
                signalled |= leftovers
                await trio.sleep(POLL_SECONDS)
            return


def _carriers(marks: Set[bytes]) -> set[int]:
    """The processes that carry a mark and are still at work, but for us."""
    processes = {path for path in Path("/proc").glob("[0-9]*") if not marks.isdisjoint(_variables(path))}
    return {int(path.name) for path in processes} - {os.getpid()}


def _variables(process: Path) -> list[bytes]:
    try:
        return (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return []  # it has ended, or is another user's


def _signal(processes: set[int], number: signal.Signals) -> None:
    """Signal the processes, and the groups that they are in unless it is ours."""
    groups = set()
    for process in processes:
        with suppress(ProcessLookupError, PermissionError):
            groups.add(os.getpgid(process))
            os.kill(process, number)
    for group in groups - {os.getpgrp()}:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)
