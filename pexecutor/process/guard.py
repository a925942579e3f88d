"""The guard: a small process that kills a server whose stop takes too long, for any reason.

A server cannot end itself while a function holds the interpreter lock: no Python code runs, no signal is handled, and
no timer can be set. But the C part of Python's signal handling still writes the number of each signal to the wakeup
descriptor, and the guard holds the other end of that connection. It sends a byte back, which wakes the server's event
loop, and counts the time from the first signal that requests a stop. When the time is up, the guard makes the server
write all stacks, which needs no lock either, and kills the server. When the server ends, the guard reads the end of the
connection and ends, too.

This file is a script. It imports no package, not even pexecutor, so that it starts fast and stays small.
"""

from __future__ import annotations

import math
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""The signals that can begin a stop. SIGHUP begins one only if the server's terminal is gone; see ``Terminal``."""

STACKS_SIGNAL: Final = signal.SIGRTMIN + 5
"""The signal at which the server writes the stacks of its threads to standard error."""

STOP_BEGUN: Final = 0xFF
"""A byte, not the number of a signal, which reports that the stop has begun without a signal."""

SAME_REQUEST_SECONDS: Final = 1.0
"""A signal within this time after a stop without a signal is the same request: the parent process was signalled,
too."""

STAT_BYTES_MAX: Final = 4096
"""How much is read of the file in which the system describes a process; it has one line of about fifty numbers."""

STACKS_SHARE: Final = 0.05
"""The share of the margin in which the server may write its stacks."""


class Terminal:
    """The controlling terminal of a process, as the system reports it.

    When a terminal is closed, the system takes it away from all processes of its session, and then sends SIGHUP. So a
    process that has lost its terminal is to stop, and any other SIGHUP is for a reload.

    Parameters:
        process: the id of the process.
    """

    def __init__(self, process: int) -> None:
        self._process = process
        self._had_one = self._number() != 0

    def is_gone(self) -> bool:
        """Return whether the process had a terminal at first and has none now."""
        return self._had_one and self._number() == 0

    def _number(self) -> int:
        """Return the device number of the terminal; 0 without a terminal, or if the system does not report it."""
        try:
            fd = os.open(f"/proc/{self._process}/stat", os.O_RDONLY | os.O_CLOEXEC)
            try:
                fields = os.read(fd, STAT_BYTES_MAX).rpartition(b")")[2].split()  # the program's name may have spaces
            finally:
                os.close(fd)
            return int(fields[4])
        except (OSError, IndexError, ValueError):
            return 0


class Deadline:
    """The time at which the server is killed.

    Parameters:
        is_hung_up: returns whether the terminal of the server is gone.
        drain_seconds: how long running tasks may take after the first signal.
        margin_seconds: how long the rest of the stop may take. After a second signal, only this time is left.
    """

    def __init__(self, is_hung_up: Callable[[], bool], drain_seconds: float, margin_seconds: float) -> None:
        self._is_hung_up = is_hung_up
        self._drain_seconds = drain_seconds
        self._margin_seconds = margin_seconds
        self.at: float = math.inf
        self._begun_otherwise_at = -math.inf

    def note(self, byte: int, now: float) -> None:
        """Update the deadline for a byte from the wakeup descriptor."""
        if byte == STOP_BEGUN:
            self._begun_otherwise_at = now
        elif byte not in STOP_SIGNALS or (byte == signal.SIGHUP and not self._is_hung_up()):
            return
        elif byte != signal.SIGHUP and self.at < math.inf and now > self._begun_otherwise_at + SAME_REQUEST_SECONDS:
            self.at = min(self.at, now + self._margin_seconds)
        self.at = min(self.at, now + self._drain_seconds + self._margin_seconds)


def watch(link: socket.socket, deadline: Deadline) -> bool:
    """Wait; return ``True`` when the time is up, and ``False`` if the server has ended before."""
    while True:
        left = deadline.at - time.monotonic()
        if left <= 0 or not select.select([link], [], [], None if left == math.inf else left)[0]:
            return True
        received = b""
        with suppress(OSError):  # the server has ended, or has unread bytes that will wake it anyway
            received = link.recv(64)
            link.send(b"\0", socket.MSG_DONTWAIT)
        if not received:
            return False
        for byte in received:
            deadline.note(byte, time.monotonic())


def end(server: int, stacks_seconds: float) -> None:
    """Make the server write its stacks, and kill it."""
    for number, seconds in ((STACKS_SIGNAL, stacks_seconds), (signal.SIGKILL, 0)):
        if os.getppid() == server:  # the server still lives, so its pid cannot belong to another process
            os.kill(server, number)
            time.sleep(seconds)


def main(fd: int, server: int, drain_seconds: float, margin_seconds: float) -> None:
    """Guard one server."""
    os.chdir("/")
    os.closerange(3, fd)
    stacks_seconds = margin_seconds * STACKS_SHARE
    deadline = Deadline(Terminal(server).is_gone, drain_seconds, margin_seconds - stacks_seconds)
    if watch(socket.socket(fileno=fd), deadline):
        end(server, stacks_seconds)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))
