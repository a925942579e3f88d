"""``Family``: all processes of one attempt, to find, signal and reap them.

A process belongs to the attempt if it

* carries the attempt's tag (see ``proc.py``), which every descendant inherits;
* is in the leader's session or process group;
* is an orphan, adopted by the server, whose environment names the task; or
* descends from one of these processes, or shares a session with one of them.

The last two checks need descriptors. They are made only if there is an orphan of unknown origin or the system cannot
tag, so ending a group does not depend on them.

Out of reach are the processes of another user (``sudo``), which the system does not let the server signal, and, if the
system cannot tag, a process that has left the session, cleared its environment and lost its parent.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress

from . import proc
from .leader import Leader, is_being_started, is_disregarded, is_leader


class Family:
    """A leader and all processes that it started.

    Parameters:
        leader: the process that the server started.
        variable: the environment variable that names the task, as ``NAME=value``, or ``None``.
    """

    def __init__(self, leader: Leader, variable: bytes | None) -> None:
        self.leader = leader
        self._variable = variable
        # Members that were found and are not gone. Kept, because a dying process loses its environment and an orphan
        # its parent, so a later search would not recognize them.
        self._known: set[int] = set()

    def is_surely_gone(self) -> bool:
        """Return whether no process is left, by cheap checks; if this returns ``False``, call ``find``."""
        if self.leader.poll() is None or self._group_exists():
            return False
        children = proc.our_children()
        return children is not None and not any(self._may_be_member(child) for child in children)

    def find(self) -> set[int]:
        """Return the members that are alive, and reap dead members that are children of the server."""
        processes = proc.list_processes()
        members = {pid for pid in processes if self._carries(pid)}
        if self.leader.tag is None or self._has_strays():
            with suppress(OSError):  # no descriptor is left; the caller will search again
                members |= self._related(processes)
        members = (members | self._known.intersection(processes)) - {os.getpid()}
        self._known = {pid for pid in members if not self._is_dead(pid, members)}
        return self._known | ({self.leader.pid} if self.leader.poll() is None else set())

    def signal(self, processes: Iterable[int], number: int, *, whole_group: bool) -> None:
        """Signal processes.

        Parameters:
            processes: the processes.
            number: the signal.
            whole_group: whether to signal the leader's group in one step; its members are then not signalled twice.
        """
        if whole_group:
            _signal_quietly(os.killpg, self.leader.pid, number)
        for pid in processes:
            if not (whole_group and proc.group_of(pid) == self.leader.pid):
                _signal_quietly(os.kill, pid, number)

    def _may_be_member(self, child: int) -> bool:
        tag = _tag_of(child)
        return _is_stray(child) if tag is None else tag == self.leader.tag and child != self.leader.pid

    def _group_exists(self) -> bool:
        try:
            os.killpg(self.leader.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return True

    def _carries(self, pid: int) -> bool:
        if pid == self.leader.pid:
            return False
        if self.leader.tag is not None and _tag_of(pid) == self.leader.tag:
            return True
        return self.leader.pid in (proc.session_of(pid), proc.group_of(pid))

    def _has_strays(self) -> bool:
        children = proc.our_children()
        return children is None or any(_is_stray(child) for child in children)

    def _related(self, processes: Iterable[int]) -> set[int]:
        """Return the members that are recognized only by their ancestors, their session or their environment."""
        seen = {pid: process for pid in processes if (process := proc.look(pid)) is not None}
        members = {self.leader.pid} | {pid for pid, process in seen.items() if self._is_adopted_member(process)}
        sessions = {self.leader.pid}
        grew = True
        while grew:
            more = {
                pid
                for pid, process in seen.items()
                if pid not in members and (process.parent in members or process.session in sessions)
            }
            members |= more
            sessions |= {seen[pid].session for pid in members if pid in seen} - {os.getsid(0)}
            grew = bool(more)
        return members - {self.leader.pid}

    def _is_adopted_member(self, process: proc.Seen) -> bool:
        if process.parent != os.getpid() or not _is_stray(process.pid):
            return False
        return self._variable is not None and self._variable in proc.variables_of(process.pid)

    def _is_dead(self, pid: int, members: set[int]) -> bool:
        """Return whether a member has ended and needs no reaping by us.

        A dead child of another member does: the server adopts it when that member ends.
        """
        if proc.is_dead_child(pid):
            proc.reap(pid)
            return True
        try:
            process = proc.look(pid)
        except OSError:
            return False
        return process is None or (process.zombie and process.parent not in {*members, self.leader.pid, os.getpid()})


def reap_orphans() -> None:
    """Reap dead orphans of attempts that still run, but no process whose exit status other code waits for.

    A function of the operator may start processes from the server and wait for them. They are also children of the
    server, but they carry no tag and are in no leader's session.
    """
    for child in proc.our_children() or ():
        if _is_of_an_attempt(child) and not is_leader(child) and proc.is_dead_child(child):
            proc.reap(child)


def _is_of_an_attempt(child: int) -> bool:
    if (tag := _tag_of(child)) is not None:
        return not is_being_started(tag)
    session = proc.session_of(child)
    return session is not None and is_leader(session)


def _is_stray(child: int) -> bool:
    """Return whether a child of the server may be an orphan of an attempt that its tag does not tell.

    No process of an attempt is in the server's session, because each leader begins a session of its own.
    """
    if is_leader(child) or is_disregarded(child):
        return False
    return _tag_of(child) is None and proc.session_of(child) != os.getsid(0)


def _tag_of(pid: int) -> int | None:
    """Return the tag of a process of an attempt, or ``None``.

    Two kinds of tags are ignored. If this server cannot tag, a tag comes from another server that started this one. A
    tagged process in the server's session was started by a function at the moment at which a leader was started.
    """
    if not proc.can_tag() or proc.session_of(pid) == os.getsid(0):
        return None
    return proc.tag_of(pid)


def _signal_quietly(send: Callable[[int, int], None], target: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # the process has ended, or belongs to another user now
        send(target, number)
