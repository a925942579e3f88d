"""``Family``: the processes of one attempt, found wherever they have gone, signalled and reaped.

A process belongs to the attempt when it

* carries the attempt's tag (see ``proc.py``), which every descendant inherits;
* is in the leader's session or process group;
* is an orphan, adopted by us, whose environment names the task; or
* descends from one of these, or is in a session with one.

The last two need descriptors. They are looked at only when there is an orphan of unknown origin or the system cannot
tag, so they are no condition for ending a group.

What is out of reach: a process that another user's program started (``sudo``), where the system forbids us to signal
it; and, where no tag can be given, one that has left the session, cleared the environment and lost its parent.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress

from . import proc
from .leader import Leader, is_being_started, is_disregarded, is_leader


class Family:
    """A leader and all that it started.

    Parameters:
        leader: the process that was started.
        variable: the environment variable that names the task, as ``NAME=value``, if there is one.
    """

    def __init__(self, leader: Leader, variable: bytes | None) -> None:
        self.leader = leader
        self._variable = variable
        # Found and not gone. The dead have no environment, and orphans no parents that tell their task.
        self._known: set[int] = set()

    def is_surely_gone(self) -> bool:
        """Whether nobody is left, as far as that can be seen at once; ``False`` where one has to ``find`` out."""
        if self.leader.poll() is None or self._group_exists():
            return False
        children = proc.our_children()
        return children is not None and not any(self._may_be_member(child) for child in children)

    def find(self) -> set[int]:
        """Return the processes that are left, without those that are dead; reap those of them that are ours."""
        processes = proc.list_processes()
        members = {pid for pid in processes if self._carries(pid)}
        if self.leader.tag is None or self._has_strays():
            with suppress(OSError):  # no descriptor is left: there will be one at the next look
                members |= self._related(processes)
        members = (members | self._known.intersection(processes)) - {os.getpid()}
        self._known = {pid for pid in members if not self._is_dead(pid, members)}
        return self._known | ({self.leader.pid} if self.leader.poll() is None else set())

    def signal(self, processes: Iterable[int], number: int, *, whole_group: bool) -> None:
        """Signal processes.

        Parameters:
            processes: which.
            number: the signal.
            whole_group: whether the leader's group gets it in one step; its members then do not get it a second time.
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
        """Return the members that can be told by their ancestors, their session or their environment alone."""
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
        """Whether a member has ended for good. A dead child of another member becomes ours when that one has ended."""
        if proc.is_dead_child(pid):
            proc.reap(pid)
            return True
        try:
            process = proc.look(pid)
        except OSError:
            return False
        return process is None or (process.zombie and process.parent not in {*members, self.leader.pid, os.getpid()})


def reap_orphans() -> None:
    """Reap dead orphans of attempts that still run. Exit statuses that others wait for are not touched.

    A function of the operator may start processes in our own process and wait for them: these are our children, too,
    but carry no tag and are in no leader's session.
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
    """Whether a child of ours may be an orphan of an attempt and does not say of which.

    No process of an attempt is in our session: each leader begins one of its own.
    """
    if is_leader(child) or is_disregarded(child):
        return False
    return _tag_of(child) is None and proc.session_of(child) != os.getsid(0)


def _tag_of(pid: int) -> int | None:
    """Return the tag of a process of an attempt.

    Where we cannot tag, a tag is from a server that started us. In our session, it is there by chance: a function has
    started the process in the moment in which a leader was started.
    """
    if not proc.can_tag() or proc.session_of(pid) == os.getsid(0):
        return None
    return proc.tag_of(pid)


def _signal_quietly(send: Callable[[int, int], None], target: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # it has ended, or has become another user's
        send(target, number)
