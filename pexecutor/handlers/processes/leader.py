"""``Leader``: the process that was started for an attempt, until it is waited for.

Road not taken: ``trio.Process``. A leader has to be tagged in the thread that starts it; and ``trio.Process`` needs a
thread for each wait when there is no descriptor left.
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

# Not Trio's default limiter: functions that fill that one must not delay a start.
_starting: Final = trio.CapacityLimiter(8)

# Entered by the thread that starts a leader, left by the wait: their exit statuses are not to be taken by a reaper.
_leaders: Final[set[int]] = set()


def is_leader(pid: int) -> bool:
    """Whether a process was started for an attempt and has yet to be waited for."""
    return pid in _leaders


# Tags of the leaders that are not entered yet.
_being_started: Final[set[int]] = set()


def is_being_started(tag: int) -> bool:
    """Whether a process with this tag may be a leader."""
    return tag in _being_started


# Processes of the server's own, which belong to no attempt.
_disregarded: Final[set[int]] = set()


def disregard(pid: int) -> None:
    """Have a child of ours not taken for an orphan of an attempt."""
    _disregarded.add(pid)


def is_disregarded(pid: int) -> bool:
    """Whether a child of ours belongs to the server itself."""
    return pid in _disregarded


class Leader:
    """A running program that leads a session and a group of its own.

    Parameters:
        popen: the process.
        tag: the number that its descendants carry, if it could be given one.
    """

    def __init__(self, popen: subprocess.Popen[bytes], tag: int | None) -> None:
        self.pid: int = popen.pid
        self.tag = tag
        self._popen = popen

    def poll(self) -> int | None:
        """Return the exit code, negative for the signal that ended it; ``None`` while it runs."""
        code = self._popen.poll()
        if code is not None:
            _leaders.discard(self.pid)
        return code

    async def wait(self) -> int:
        """Wait for the end; return the exit code."""
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
        tag: the number that its descendants are to carry.
        options: as ``subprocess.Popen`` takes them.

    Raises:
        OSError: the program could not be started.
        RuntimeError: the system has no thread left.
    """
    return await trio.to_thread.run_sync(lambda: _start(argv, tag, options), limiter=_starting)


def _start(argv: list[bytes], tag: int, options: dict[str, Any]) -> Leader:
    _being_started.add(tag)  # it runs, and may have ended, before its number is known here
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
        return None  # no descriptor is left, or the kernel is older than that
