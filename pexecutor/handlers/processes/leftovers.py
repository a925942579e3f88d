"""Processes that outlived their server: found by their mark, and ended before their task runs again.

A server that is killed cannot end what it started. So each process that runs for a task carries a mark (``mark.py``):
the task, the store and the server. Before a stored task that was running is run again, or gets its outcome, the next
server ends each process that carries the mark of its store and whose server is dead, and the process group of each:
SIGTERM, some time, SIGKILL.

The store's identity is that of its file and not of its content. A server that is started on a copy of the file has
the same task ids, and leaves the processes of the other server alone, whether that server lives or not. A server is
dead when no process has its pid, or when the process that has it is younger than what the server started.

What is out of reach: a process of another user, and where the system cannot tag processes one that both cleared its
environment and left the group. (The idea is that of Jenkins' ``ProcessTreeKiller``. Roads not taken: to write down the
number of a group once it has started, because a server may die in between; ``PR_SET_PDEATHSIG``, which reaches the
child alone, and fires when the thread ends that started it.)
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import suppress
from pathlib import Path
from typing import Final

import trio

from ...task import Running
from . import proc
from .mark import SERVER_VARIABLE, STORE_VARIABLE, TASK_ID_VARIABLE, read_tag, store_number, store_text

TERMINATE_SECONDS_MAX: Final = 3.0
"""How long leftovers have between SIGTERM and SIGKILL."""

GONE_SECONDS_MAX: Final = 5.0
"""How long they may take to be gone after SIGKILL; then the start goes on without them."""

POLL_SECONDS: Final = 0.02


def file_identity(file: Path) -> str:
    """Return the identity of the store in a file; a copy of the file has another one."""
    try:
        status = file.stat()
    except OSError:
        return ""
    return f"file:{status.st_dev}:{status.st_ino}"


async def end_leftovers(running: Sequence[Running], *, store: Callable[[], str] = lambda: "") -> None:
    """End what dead servers of a store have left at work.

    Parameters:
        running: the tasks that were running when the last server died. They tell the leftovers of a server that did
            not mark its processes with a store.
        store: tells the store's identity; an empty one is unknown.
    """
    search = _Search({record.id.encode() for record in running}, store())
    for number, seconds in ((signal.SIGTERM, TERMINATE_SECONDS_MAX), (signal.SIGKILL, GONE_SECONDS_MAX)):
        signalled: set[int] = set()
        with trio.move_on_after(seconds):
            while leftovers := await trio.to_thread.run_sync(search.leftovers):
                _signal(leftovers - signalled, number)
                signalled |= leftovers
                await trio.sleep(POLL_SECONDS)
            return


class _Search:
    """Finds the leftovers of a store.

    Parameters:
        task_ids: the tasks that were running.
        identity: the store's identity.
    """

    def __init__(self, task_ids: Set[bytes], identity: str) -> None:
        self._task_ids = task_ids
        self._store_text = store_text(identity).encode() if identity else None
        self._store_number = store_number(identity) if identity else None

    def leftovers(self) -> set[int]:
        """Return the processes that were left and are still at work, but for us."""
        return {pid for pid in proc.list_processes() if pid != os.getpid() and self._is_left(pid)}

    def _is_left(self, pid: int) -> bool:
        return self._tag_says_so(pid) or self._environment_says_so(pid)

    def _tag_says_so(self, pid: int) -> bool:
        number = proc.tag_of(pid)
        if number is None or self._store_number is None:
            return False
        tag = read_tag(number)
        return tag.store == self._store_number and _outlived(pid, tag.server)

    def _environment_says_so(self, pid: int) -> bool:
        variables = _variables(pid)
        if (task_id := variables.get(TASK_ID_VARIABLE.encode())) is None:
            return False
        store, server = variables.get(STORE_VARIABLE.encode()), variables.get(SERVER_VARIABLE.encode(), b"")
        if store is None:  # marked by an earlier version
            return task_id in self._task_ids
        is_of_the_store = task_id in self._task_ids if self._store_text is None else store == self._store_text
        return is_of_the_store and _outlived(pid, int(server) if server.isdigit() else 0)


def _outlived(pid: int, server: int) -> bool:
    """Whether a process is at work, and the server that started it is dead."""
    with suppress(OSError):
        process = proc.look(pid)
        if process is None or process.zombie:
            return False
        its_server = proc.look(server)
        return its_server is None or its_server.zombie or its_server.started > process.started
    return False


def _variables(pid: int) -> Mapping[bytes, bytes]:
    with suppress(OSError):
        pairs = [variable.partition(b"=") for variable in proc.variables_of(pid)]
        return {name: value for name, _, value in pairs}
    return {}


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
