"""Find and end processes that outlived their server, before their tasks run again.

A server that is killed cannot end the processes that it started. So each process of a task carries a mark
(``mark.py``): the task, the store and the server. Before a stored task that was running runs again or gets its outcome,
the next server ends each process that carries the mark of the store and whose server is dead. It also ends the process
group of each. The end is SIGTERM, and SIGKILL after ``TERMINATE_SECONDS_MAX``.

The store's identity is that of its file, not of its content. A server on a copy of the file has the same task ids, but
does not touch the processes of the original's server. A server is dead if no process has its pid, or if the process
with its pid is younger than the process that the server started.

Out of reach are processes of another user, and, if the system cannot tag, processes that have cleared their environment
and left their group. (The idea comes from Jenkins' ``ProcessTreeKiller``. Roads not taken: recording the number of a
group after its start, because a server may die in between; ``PR_SET_PDEATHSIG``, which reaches only the child and fires
when the thread that started the child ends.)
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
"""The time between SIGTERM and SIGKILL."""

GONE_SECONDS_MAX: Final = 5.0
"""How long to wait for the end of killed processes; then the server starts anyway."""

POLL_SECONDS: Final = 0.02


def file_identity(file: Path) -> str:
    """Return the identity of the store in a file; a copy of the file has another identity."""
    try:
        status = file.stat()
    except OSError:
        return ""
    return f"file:{status.st_dev}:{status.st_ino}"


async def end_leftovers(running: Sequence[Running], *, store: Callable[[], str] = lambda: "") -> None:
    """End the processes that dead servers of a store have left running.

    Parameters:
        running: the tasks that were running when the last server died. Earlier versions marked processes without a
            store; such processes are recognized by these tasks.
        store: returns the store's identity, or an empty text if it is unknown.
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
    """A search for the leftovers of a store.

    Parameters:
        task_ids: the tasks that were running.
        identity: the store's identity.
    """

    def __init__(self, task_ids: Set[bytes], identity: str) -> None:
        self._task_ids = task_ids
        self._store_text = store_text(identity).encode() if identity else None
        self._store_number = store_number(identity) if identity else None

    def leftovers(self) -> set[int]:
        """Return the processes that dead servers have left running, without this process."""
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
    """Return whether a process runs and the server that started it is dead."""
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
    """Signal processes and their process groups, but never the group of this process."""
    groups = set()
    for process in processes:
        with suppress(ProcessLookupError, PermissionError):
            groups.add(os.getpgid(process))
            os.kill(process, number)
    for group in groups - {os.getpgrp()}:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)
