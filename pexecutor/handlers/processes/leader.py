"""``Leader``: the process that the server starts for an attempt, until the server has waited for it.

Road not taken: ``trio.Process``. A leader must be tagged in the thread that starts it, and ``trio.Process`` needs a
thread for each wait if no descriptor is left.
"""

from __future__ import annotations

import os
import subprocess
from typing import Any, Final

import trio

from ..descriptors import give_original_limit
from . import proc

POLL_SECONDS_MIN: Final = 0.005
POLL_SECONDS_MAX: Final = 0.1

# Not Trio's default limiter, so that functions which use up its threads cannot delay a start.
_starting: Final = trio.CapacityLimiter(8)

# The pids of leaders that were not waited for. _start adds, poll removes. reap_orphans must not take their exit status.
_leaders: Final[set[int]] = set()


def is_leader(pid: int) -> bool:
    """Return whether a process is a leader that was not waited for yet."""
    return pid in _leaders


# The tags of leaders whose pids are not in _leaders yet.
_being_started: Final[set[int]] = set()


def is_being_started(tag: int) -> bool:
    """Return whether a process with this tag may be a leader that is just being started."""
    return tag in _being_started


# The pids of the server's own helper processes, such as the guard.
_disregarded: Final[set[int]] = set()


def disregard(pid: int) -> None:
    """Note that a child belongs to the server itself and is not an orphan of an attempt."""
    _disregarded.add(pid)


def is_disregarded(pid: int) -> bool:
    """Return whether a child belongs to the server itself."""
    return pid in _disregarded


class Leader:
    """A running program that leads a session and a group of its own.

    Parameters:
        popen: the process.
        tag: the number that the leader and its descendants carry, or ``None`` if the system cannot tag.
    """

    def __init__(self, popen: subprocess.Popen[bytes], tag: int | None) -> None:
        self.pid: int = popen.pid
        self.tag = tag
        self._popen = popen

    def poll(self) -> int | None:
        """Return the exit code (negated for the signal that ended the process), or ``None`` while the process runs."""
        code = self._popen.poll()
        if code is not None:
            _leaders.discard(self.pid)
        return code

    async def wait(self) -> int:
        """Wait until the process has ended, and return its exit code."""
        descriptor = _open_pidfd(self.pid)
        try:
            if descriptor is not None:
                await trio.lowlevel.wait_readable(descriptor)
        finally:
            if descriptor is not None:
                trio.lowlevel.notify_closing(descriptor)
                os.close(descriptor)
        pause = POLL_SECONDS_MIN
        while (code := self.poll()) is None:
            await trio.sleep(pause)
            pause = min(2 * pause, POLL_SECONDS_MAX)
        return code


async def start_leader(argv: list[bytes], tag: int, **options: Any) -> Leader:
    """Start a program.

    Parameters:
        argv: the program and its arguments.
        tag: the number that the program and its descendants will carry.
        options: options of ``subprocess.Popen``.

    Raises:
        OSError: the program could not be started.
        RuntimeError: the system has no thread left.
    """
    return await trio.to_thread.run_sync(lambda: _start(argv, tag, options), limiter=_starting)


def _start(argv: list[bytes], tag: int, options: dict[str, Any]) -> Leader:
    _being_started.add(tag)  # the process may have started, and even ended, before its pid is known
    try:
        with proc.tagging(tag):
            popen = subprocess.Popen(argv, start_new_session=True, **options)
        _leaders.add(popen.pid)
    finally:
        _being_started.discard(tag)
    give_original_limit(popen.pid)
    return Leader(popen, tag if proc.can_tag() else None)


def _open_pidfd(pid: int) -> int | None:
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None  # no descriptor is left, or the kernel has no pidfd; `wait` then polls
