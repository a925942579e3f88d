"""The stop of a process: the signals that begin it, its log lines, and its bound.

The bound holds whatever handlers do, by two means. Both count from the signal, not from when the loop notices it.

* **A timer of faulthandler**, which writes the stacks of all threads and ends the process with status 1. The signal
  handler sets it at once, also while a function blocks the event loop.
* **The guard** (``guard.py``), a process of its own, for a function that holds the interpreter lock: then no Python
  code runs, a signal handler neither. It kills the process a moment later than the timer would have ended it.

Neither is called off at the end of the stop: what holds up the interpreter's exit, like a thread that a function has
left behind, is bounded as well.
"""

from __future__ import annotations

import faulthandler
import math
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Final, Self

import structlog
import trio

from ..core.executor import Executor
from ..core.statistics import Phase, Statistics
from ..handlers.processes.leader import disregard
from . import guard

STOP_MARGIN_SECONDS = 10.0
"""A stop takes at most the drain timeout and this, whatever the handlers do."""

TIMER_SHARE: Final = 0.8
"""When the timer goes off, as a share of the margin; the guard comes at its end."""

_log = structlog.get_logger()

_kept: Final[list[StopBound]] = []
"""The bound of a stop that has begun; it is kept until the process has ended."""


class StopBound:
    """Ends the process when a stop takes longer than the drain timeout and the margin.

    Parameters:
        drain_seconds: the drain timeout.
    """

    def __init__(self, drain_seconds: float) -> None:
        self._drain_seconds = drain_seconds
        self.margin_seconds = STOP_MARGIN_SECONDS
        self._timer_at = math.inf
        self._is_signalled = False
        self._link: socket.socket | None = None
        self._guard: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        """Keep counting once a stop was requested; otherwise, as after a start that failed, count no longer."""
        if not self.begun or (error is not None and not self._is_signalled):
            faulthandler.cancel_dump_traceback_later()
            _kept.clear()
            self._end_guard()

    @property
    def begun(self) -> bool:
        """Whether a stop has begun."""
        return self._timer_at < math.inf

    def begin(self) -> None:
        """Count from now on; later calls change nothing."""
        if not self.begun:
            self._set_timer(self._drain_seconds + self.margin_seconds * TIMER_SHARE)
            self._tell_guard()

    def note_signal(self) -> None:
        """Count from the first signal on; the second leaves the margin alone. Called by the signal handler itself."""
        self._is_signalled = True
        self._set_timer((0 if self.begun else self._drain_seconds) + self.margin_seconds * TIMER_SHARE)

    def _set_timer(self, seconds: float) -> None:
        at = time.monotonic() + seconds
        if at < self._timer_at:
            self._timer_at = at
            faulthandler.dump_traceback_later(seconds, exit=True, file=2)
            _kept[:] = [self]

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Start the guard and have the kernel tell it of signals; ends when the guard does."""
        self._link, guards_end = socket.socketpair()
        self._link.setblocking(False)
        try:
            with guards_end:
                self._guard = self._start_guard(guards_end)
                disregard(self._guard)
        except (OSError, NotImplementedError) as error:
            _log.warning("no guard: a function that holds the interpreter lock can hold up a stop", reason=str(error))
            task_status.started()
            return
        faulthandler.register(guard.STACKS_SIGNAL, file=2, all_threads=True, chain=False)
        trios_own = signal.set_wakeup_fd(self._link.fileno(), warn_on_full_buffer=False)
        try:
            task_status.started()
            link = trio.socket.from_stdlib_socket(self._link)
            with suppress(OSError):
                while await link.recv(64):
                    pass  # what counts is that the loop has woken: signal handlers have run by now
        finally:
            signal.set_wakeup_fd(trios_own)
        self._end_guard()
        _log.warning("the guard has ended: a function that holds the interpreter lock can hold up a stop")

    def _start_guard(self, link: socket.socket) -> int:
        os.set_inheritable(link.fileno(), True)
        script = Path(guard.__file__).resolve()
        numbers = map(str, (link.fileno(), os.getpid(), self._drain_seconds, self.margin_seconds))
        return os.posix_spawn(
            sys.executable or "python3",
            [sys.executable, "-I", "-S", str(script), *numbers],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0),
                (os.POSIX_SPAWN_DUP2, 0, 1),
                (os.POSIX_SPAWN_DUP2, 0, 2),
            ],
            setsid=True,
            setsigmask=guard.STOP_SIGNALS,  # a service manager sends them to every process of a service
        )

    def _tell_guard(self) -> None:
        if self._link is not None:
            with suppress(OSError):
                self._link.send(bytes([guard.STOP_BEGUN]))

    def _end_guard(self) -> None:
        if self._link is not None:
            self._link.close()
        if self._guard is not None:
            with suppress(ChildProcessError):
                os.waitpid(self._guard, 0)


class StopSignals:
    """Begins the stop of an executor at the first signal, and ends its drain at the second.

    Parameters:
        executor: what stops.
        bound: what ends the process when that takes too long.
    """

    def __init__(self, executor: Executor, bound: StopBound) -> None:
        self._executor = executor
        self._bound = bound
        self._parent_at = -math.inf

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Obey signals until cancelled.

        These are signal handlers of our own and not Trio's receiver, as that one waits for the loop to handle anything.
        """
        token = trio.lowlevel.current_trio_token()

        def handle(number: int, _frame: FrameType | None) -> None:
            if not self._is_same_request():
                self._bound.note_signal()
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(self._obey, signal.Signals(number), time.monotonic())

        taken = [one for one in guard.STOP_SIGNALS if not (one == signal.SIGHUP and _is_ignored(one))]
        previous = {one: signal.signal(one, handle) for one in taken}
        try:
            task_status.started()
            await trio.sleep_forever()
        finally:
            if not self._bound.begun:  # else a late signal would take the process down at the last moment
                for one, handler in previous.items():
                    signal.signal(one, handler)

    def parent_signalled(self) -> None:
        """Begin the stop because the parent process stops, unless a signal has come here as well."""
        if not self._executor.draining.is_set() and not self._bound.begun:
            self._parent_at = time.monotonic()
            _log.info("signalled to stop", signal="parent")
            self._executor.drain()

    def _is_same_request(self) -> bool:
        """Whether a signal that comes now was sent to a process group, and the parent has passed it on faster."""
        return time.monotonic() < self._parent_at + guard.SAME_REQUEST_SECONDS

    def _obey(self, number: signal.Signals, signalled_at: float) -> None:
        if not self._executor.draining.is_set():
            _log.info("signalled to stop", signal=number.name)
            self._executor.drain(seconds_ago=time.monotonic() - signalled_at)  # a function may have blocked the loop
        elif not self._is_same_request():
            _log.warning("stopping at once", signal=number.name)
            self._executor.hard_stop()


def _is_ignored(number: signal.Signals) -> bool:
    """Whether the process was started to ignore this signal, as ``nohup`` does with SIGHUP."""
    return signal.getsignal(number) is signal.SIG_IGN


async def log_drain(executor: Executor, bound: StopBound | None) -> None:
    """Once a drain has begun, however it was requested, log it and bound the stop."""
    await executor.draining.wait()
    if executor.statistics().phase is Phase.STOPPED:  # it has failed, or never run
        return
    _log.info("draining", timeout_seconds=executor.drain_timeout_seconds, running=executor.statistics().store.running)
    if bound is not None:
        bound.begin()


def log_farewell(statistics: Statistics) -> None:
    """Log what the stop has come to."""
    left = statistics.store.pending + statistics.store.scheduled + statistics.store.running
    _log.info(
        "stopped",
        finished=sum(statistics.store.finished.values()),
        released=statistics.released,
        **({"kept": left} if statistics.store.durable else {"dropped": left}),
    )
