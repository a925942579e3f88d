"""The stop of a process: its signals, its log lines, and the bound on its duration.

Two mechanisms enforce the bound, no matter what handlers do. Both count from the signal, not from the time at which the
event loop notices the signal.

* **A timer of faulthandler** writes the stacks of all threads and ends the process with status 1. The signal handler
  sets it at once, even while a function blocks the event loop.
* **The guard** (``guard.py``) is a separate process, for functions that hold the interpreter lock: then no Python code
  runs, not even a signal handler. The guard kills the process a little later than the timer would have.

Both keep running until the process has ended, because the exit of the interpreter must be bounded as well: for example,
a thread that a function has left running delays it.
"""

from __future__ import annotations

import atexit
import faulthandler
import math
import os
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Final, Self

import structlog
import trio

from ..core.executor import Executor
from ..core.statistics import Phase, Statistics
from ..handlers.processes.leader import disregard
from ..limits.times import STOP_MARGIN_SECONDS, TIMER_SHARE
from . import guard
from .service_manager import ServiceManager

_log = structlog.get_logger()

HANGUP_SECONDS: Final = 0.1
"""The pause between SIGHUP and the reload."""

_kept: Final[list[StopBound]] = []
"""The bound of a stop that has begun. The reference keeps the guard's socket open until the process has ended."""


class StopBound:
    """The bound on a stop: ends the process if a stop takes longer than the drain timeout and the margin.

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
        """Keep counting if a stop was requested; otherwise, as after a failed start, remove the timer and the guard."""
        if not self.begun or (error is not None and not self._is_signalled):
            faulthandler.cancel_dump_traceback_later()
            _kept.clear()
            self._end_guard()

    @property
    def begun(self) -> bool:
        """Return whether a stop has begun."""
        return self._timer_at < math.inf

    def begin(self, *, by_signal: bool = False) -> None:
        """Start counting now; further calls change nothing."""
        self._is_signalled = self._is_signalled or by_signal
        if not self.begun:
            self._set_timer(self._drain_seconds + self.margin_seconds * TIMER_SHARE)
            self._notify_guard()

    def note_signal(self) -> None:
        """Start counting at the first signal; at the second, leave only the margin. The signal handler calls this."""
        self._is_signalled = True
        self._set_timer((0 if self.begun else self._drain_seconds) + self.margin_seconds * TIMER_SHARE)

    def _set_timer(self, seconds: float) -> None:
        at = time.monotonic() + seconds
        if at < self._timer_at:
            self._timer_at = at
            faulthandler.dump_traceback_later(seconds, exit=True, file=2)
            _kept[:] = [self]

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Start the guard and connect it to the wakeup descriptor; return when the guard has ended."""
        self._link, guards_end = socket.socketpair()
        self._link.setblocking(False)
        try:
            with guards_end:
                self._guard = self._start_guard(guards_end)
                disregard(self._guard)
        except (OSError, NotImplementedError) as error:
            _log.warning("no guard: a function that holds the interpreter lock can delay a stop", reason=str(error))
            task_status.started()
            return
        faulthandler.register(guard.STACKS_SIGNAL, file=2, all_threads=True, chain=False)
        trios_own = signal.set_wakeup_fd(self._link.fileno(), warn_on_full_buffer=False)
        try:
            task_status.started()
            link = trio.socket.from_stdlib_socket(self._link)
            with suppress(OSError):
                while await link.recv(64):
                    pass  # the bytes only wake the loop, so that Python runs its signal handlers
        finally:
            signal.set_wakeup_fd(trios_own)
        self._end_guard()
        _log.warning("the guard has ended: a function that holds the interpreter lock can delay a stop")

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

    def _notify_guard(self) -> None:
        if self._link is not None:
            with suppress(OSError):
                self._link.send(bytes([guard.STOP_BEGUN]))

    def leave_link_open(self) -> None:
        """Leave the guard's link to the system, which closes it when the process has ended."""
        if self._link is not None:
            self._link.detach()

    def _end_guard(self) -> None:
        if self._link is not None:
            self._link.close()
        if self._guard is not None:
            with suppress(ChildProcessError):
                os.waitpid(self._guard, 0)


@atexit.register
def _leave_links_open() -> None:
    """Keep the guard watching to the very end: the interpreter closes sockets, with a warning, while it shuts down."""
    for bound in _kept:
        bound.leave_link_open()


class StopSignals:
    """The signal handlers of a server: the first signal begins the drain, the second ends it. SIGHUP reloads.

    SIGHUP begins the drain only if the terminal of the process is gone; during a drain, it is ignored.

    Parameters:
        executor: the executor to stop.
        bound: the bound on the stop.
        reload: reloads the settings, and logs the result.
    """

    def __init__(self, executor: Executor, bound: StopBound, reload: Callable[[], Awaitable[None]]) -> None:
        self._executor = executor
        self._bound = bound
        self._reload = reload
        self._terminal = guard.Terminal(os.getpid())
        self._hangup = trio.Event()  # set by _obey_hangup(), replaced by _reload_at_hangups()
        self._parent_at = -math.inf

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Handle signals until cancelled.

        These are plain signal handlers instead of Trio's receiver, because the receiver cannot start the bound while a
        function blocks the event loop.
        """
        token = trio.lowlevel.current_trio_token()

        def handle(number: int, _frame: FrameType | None) -> None:
            if number == signal.SIGHUP:
                obey: Callable[..., None] = self._obey_hangup
                if self._terminal.is_gone():
                    self._bound.begin(by_signal=True)
            else:
                obey = self._obey
                if not self._is_same_request():
                    self._bound.note_signal()
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(obey, signal.Signals(number), time.monotonic())

        taken = [number for number in guard.STOP_SIGNALS if not (number == signal.SIGHUP and _is_ignored(number))]
        previous = {number: signal.signal(number, handle) for number in taken}
        try:
            task_status.started()
            await self._reload_at_hangups()
        finally:
            if not self._bound.begun:  # after a stop, a late signal must not kill the process before it exits
                for number, handler in previous.items():
                    signal.signal(number, handler)

    async def _reload_at_hangups(self) -> None:
        """Reload once for all signals that came since the last reload began."""
        while True:
            await self._hangup.wait()
            self._hangup = trio.Event()
            # A shell that ends without closing its terminal is signalled a moment before the terminal is taken away.
            await trio.sleep(HANGUP_SECONDS)
            if self._terminal.is_gone():
                self._bound.begin(by_signal=True)
                self._obey(signal.SIGHUP, time.monotonic())
            elif not self._executor.draining.is_set():
                await self._reload()

    def _obey_hangup(self, number: signal.Signals, signalled_at: float) -> None:
        if self._executor.draining.is_set():
            _log.info("signal ignored during the drain", signal=number.name)
        elif self._terminal.is_gone():
            self._obey(number, signalled_at)
        else:
            self._hangup.set()

    def parent_signalled(self) -> None:
        """Begin the stop because the parent process stops, unless a signal has already begun it."""
        if not self._executor.draining.is_set() and not self._bound.begun:
            self._parent_at = time.monotonic()
            _log.info("signalled to stop", signal="parent")
            self._executor.drain()

    def _is_same_request(self) -> bool:
        """Return whether a signal that arrives now went to the whole process group and has begun the stop already."""
        return time.monotonic() < self._parent_at + guard.SAME_REQUEST_SECONDS

    def _obey(self, number: signal.Signals, signalled_at: float) -> None:
        if not self._executor.draining.is_set():
            _log.info("signalled to stop", signal=number.name)
            # A function may have blocked the event loop since the signal; that time counts.
            self._executor.drain(seconds_ago=time.monotonic() - signalled_at)
        elif not self._is_same_request():
            _log.warning("stopping at once", signal=number.name)
            self._executor.hard_stop()


def _is_ignored(number: signal.Signals) -> bool:
    """Return whether the process was started with this signal ignored, as ``nohup`` does with SIGHUP."""
    return signal.getsignal(number) is signal.SIG_IGN


async def report_drain(executor: Executor, bound: StopBound | None, manager: ServiceManager) -> None:
    """Wait for a drain, report it to the log and to the service manager, and start the bound on the stop."""
    await executor.draining.wait()
    if executor.statistics().phase is Phase.STOPPED:  # the executor has failed, or has never run
        return
    _log.info("draining", timeout_seconds=executor.drain_timeout_seconds, running=executor.statistics().store.running)
    manager.stopping(executor.drain_timeout_seconds + STOP_MARGIN_SECONDS)
    if bound is not None:
        bound.begin()


def log_stopped(statistics: Statistics) -> None:
    """Log the end of a stop with the numbers of finished, released and remaining tasks."""
    left = statistics.store.pending + statistics.store.scheduled + statistics.store.running
    _log.info(
        "stopped",
        finished=sum(statistics.store.finished.values()),
        released=statistics.released,
        **({"kept": left} if statistics.store.durable else {"dropped": left}),
    )
