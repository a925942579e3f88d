"""``ServiceManager``: report the state of the server to systemd, by the protocol of ``sd_notify``.

Other service managers and container engines speak the same protocol. Each message is one datagram of lines, sent to the
socket that ``NOTIFY_SOCKET`` names. Without that variable, nothing is sent.

A message that cannot be sent never stops the server and never blocks it: a failure is logged, and a message for which
the manager's socket has no room is sent later, in order.
"""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from collections.abc import Callable, MutableMapping
from multiprocessing import parent_process
from typing import Final, Self

import structlog
import trio

from ..core.statistics import Phase, Statistics
from ..limits.times import WRITE_SECONDS_MAX

VARIABLES: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
"""The variables of the protocol. They are removed, because a command that a task runs must not report as the server."""

RETRY_SECONDS: Final = 0.5
"""The pause before another try if the manager's socket has no room."""

STATUS_CHARACTERS_MAX: Final = 500
PERIOD_DIGITS_MAX: Final = 20
UNSENT_MAX: Final = 20
"""How many messages wait for room at most; the oldest go first."""

BEAT: Final = "WATCHDOG=1"

_log = structlog.get_logger()


def is_working(statistics: Statistics) -> bool:
    """Return whether the watchdog gets its beat.

    The beats come from the event loop, so a loop that does not turn sends none. Besides, the executor must run, and no
    write of its store may have been under way for ``WRITE_SECONDS_MAX``. A store that refuses writes, such as on a full
    disk, gets its beats: a restart would not help.
    """
    return statistics.phase is not Phase.STOPPED and statistics.store.writing_seconds <= WRITE_SECONDS_MAX


class ServiceManager:
    """The service manager that has started this process, if there is one.

    Parameters:
        address: the socket of the manager: a path, or a name that begins with ``@`` in the abstract namespace; ``None``
            if no manager wants messages.
        watchdog_seconds: after how long without a beat the manager restarts the server; ``None`` without a watchdog.
    """

    def __init__(self, address: str | None = None, watchdog_seconds: float | None = None) -> None:
        self._address = address
        self._watchdog_seconds = watchdog_seconds
        # Added to by _send(), taken from by _send_unsent().
        self._unsent: deque[str] = deque(maxlen=UNSENT_MAX)
        self._is_failing = False

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str]) -> Self:
        """Return the manager that the environment names, and remove the variables of the protocol from it."""
        address, period, pid = (environment.pop(name, "") for name in VARIABLES)
        if address and address[0] not in "/@":
            _log.warning("the service manager gets no messages: NOTIFY_SOCKET is not a path", socket=address)
            address = ""
        return cls(address or None, _watchdog_seconds(period, pid))

    @property
    def has_watchdog(self) -> bool:
        """Return whether the manager ends the server if the beats stop."""
        return self._watchdog_seconds is not None

    @property
    def unsent(self) -> int:
        """Return how many messages wait for room in the manager's socket."""
        return len(self._unsent)

    def ready(self, status: str) -> None:
        """Report that requests are answered, after the start or after a reload; ``status`` is for the operator."""
        self._send("READY=1", _status(status))

    def reloading(self) -> None:
        """Report that a reload begins. ``ready`` has to follow, also if the reload fails."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}", _status("reloading the settings"))

    def stopping(self, seconds_max: float) -> None:
        """Report that the stop has begun, and that the manager has to wait for its end for ``seconds_max``."""
        self._send("STOPPING=1", f"EXTEND_TIMEOUT_USEC={int(seconds_max * 1_000_000)}", _status("draining"))

    async def run(self, is_healthy: Callable[[], bool]) -> None:
        """Send the beats of the watchdog while the server is healthy, and messages that had no room, until cancelled.

        Parameters:
            is_healthy: called at each beat; while it returns ``False``, the watchdog gets no beat.
        """
        if self._address is None:
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._retry)
            if self._watchdog_seconds is not None:
                nursery.start_soon(self._beat, self._watchdog_seconds / 2, is_healthy)

    async def _beat(self, period_seconds: float, is_healthy: Callable[[], bool]) -> None:
        was_healthy = True
        while True:
            healthy = is_healthy()
            if healthy and not self._unsent:  # beats that had no room need not pile up
                self._send(BEAT)
            if was_healthy and not healthy:
                _log.error("the watchdog gets no beat: a write of the store does not end")
            was_healthy = healthy
            await trio.sleep(period_seconds)

    async def _retry(self) -> None:
        while True:
            await trio.sleep(RETRY_SECONDS)
            self._send_unsent()

    def _send(self, *lines: str) -> None:
        if self._address is not None:
            self._unsent.append("\n".join(lines))
            self._send_unsent()

    def _send_unsent(self) -> None:
        while self._unsent:
            try:
                self._send_now(self._unsent[0])
            except BlockingIOError:
                return  # _retry() sends it later
            except OSError as error:
                self._log_failure(error)
            else:
                self._is_failing = False
            self._unsent.popleft()

    def _send_now(self, message: str) -> None:
        assert self._address is not None, "checked by _send()"
        address = os.fsencode(self._address)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
            sender.sendto(message.encode(), b"\0" + address[1:] if address.startswith(b"@") else address)

    def _log_failure(self, error: OSError) -> None:
        if not self._is_failing:
            _log.warning("the service manager gets no messages", socket=self._address, reason=str(error))
        self._is_failing = True


def _watchdog_seconds(period: str, pid: str) -> float | None:
    """Return the period of the watchdog in seconds, or ``None`` if this process has no watchdog."""
    parent = parent_process()  # under Hypercorn's own command line, the manager has started the parent
    if not period or (pid and pid not in {str(os.getpid()), str(parent and parent.pid)}):
        return None
    if not period.isdecimal() or len(period) > PERIOD_DIGITS_MAX or int(period) == 0:
        _log.warning("the watchdog gets no beats: WATCHDOG_USEC is not a number of microseconds", value=period)
        return None
    return int(period) / 1_000_000


def _status(text: str) -> str:
    """Return the line that shows a text to the operator; a line break would begin another line of the message."""
    return f"STATUS={' '.join(text.split())[:STATUS_CHARACTERS_MAX]}"
