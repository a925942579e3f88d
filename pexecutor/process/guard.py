"""The guard: a small process that ends a server whose stop overruns its bound, whatever holds the server up.

A server cannot end itself while a function holds the interpreter lock: no Python code runs then, no signal is handled,
and no timer can be set. But the C part of Python's signal handling still writes the number of each signal to the
wakeup descriptor. The guard holds the other end of it. It sends a byte back, which wakes the server's event loop, and
counts the time from the first signal that asks for a stop. When time is up it has the server write all stacks, which
needs no lock either, and kills it. It ends with the server, as it reads the end of the connection then.

This file is a script. It imports neither the package nor any other package, so that it starts fast and stays small.
"""

from __future__ import annotations

import math
import os
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from typing import Final

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

STACKS_SIGNAL: Final = signal.SIGRTMIN + 5
"""Has the server write the stacks of its threads to standard error."""

STOP_BEGUN: Final = 0xFF
"""A byte that is no signal: the stop was begun in another way."""

SAME_REQUEST_SECONDS: Final = 1.0
"""A signal so soon after a stop was begun otherwise is the same request: a parent process was signalled as well."""

STACKS_SHARE: Final = 0.05
"""How much of the margin the server has to write its stacks."""


class Deadline:
    """When the server ends at the latest.

    Parameters:
        drain_seconds: how long running tasks have after the first signal.
        margin_seconds: how long everything else may take; from a second signal on, the only time left.
    """

    def __init__(self, drain_seconds: float, margin_seconds: float) -> None:
        self._drain_seconds = drain_seconds
        self._margin_seconds = margin_seconds
        self.at: float = math.inf
        self._begun_otherwise_at = -math.inf

    def note(self, byte: int, now: float) -> None:
        """Take note of a byte from the wakeup descriptor."""
        if byte == STOP_BEGUN:
            self._begun_otherwise_at = now
        elif byte not in STOP_SIGNALS:
            return
        elif self.at < math.inf and now > self._begun_otherwise_at + SAME_REQUEST_SECONDS:
            self.at = min(self.at, now + self._margin_seconds)
        self.at = min(self.at, now + self._drain_seconds + self._margin_seconds)


def watch(link: socket.socket, deadline: Deadline) -> bool:
    """Return whether the time is up; ``False`` when the server has ended before."""
    while True:
        left = deadline.at - time.monotonic()
        if left <= 0 or not select.select([link], [], [], None if left == math.inf else left)[0]:
            return True
        received = b""
        with suppress(OSError):  # the server has ended, or has not read the bytes before and will wake up anyway
            received = link.recv(64)
            link.send(b"\0", socket.MSG_DONTWAIT)
        if not received:
            return False
        for byte in received:
            deadline.note(byte, time.monotonic())


def end(server: int, stacks_seconds: float) -> None:
    """Have the server write its stacks, and kill it."""
    for number, seconds in ((STACKS_SIGNAL, stacks_seconds), (signal.SIGKILL, 0)):
        if os.getppid() == server:  # it lives, so nothing else has its number
            os.kill(server, number)
            time.sleep(seconds)


def main(fd: int, server: int, drain_seconds: float, margin_seconds: float) -> None:
    """Guard one server."""
    os.chdir("/")
    os.closerange(3, fd)
    stacks_seconds = margin_seconds * STACKS_SHARE
    if watch(socket.socket(fileno=fd), Deadline(drain_seconds, margin_seconds - stacks_seconds)):
        end(server, stacks_seconds)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))
