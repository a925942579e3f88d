"""``Host``: stop correctly under Hypercorn's own command line.

Hypercorn runs the app in a worker process. Its parent process stops the worker by a shared event, starts a new worker
when a worker ends with status 0, and on SIGHUP replaces the worker. So:

* the app polls the shared event itself, and begins the drain as soon as the parent has been signalled;
* after the drain, the app sends SIGTERM to the parent, so that a worker which was signalled alone is not replaced.

Its connections are served by ``web/hosted.py``.

The event and Hypercorn's settings are arguments of the worker's process object. A program that calls Hypercorn itself
has no such arguments. There the drain begins with the lifespan's own message or with a signal.
"""

from __future__ import annotations

import inspect
import multiprocessing
import os
import signal
from collections.abc import Callable
from threading import current_thread, main_thread
from typing import Any, Final

import trio

from ..core.executor import Executor

EVENT_SECONDS: Final = 0.1
"""The time between two polls of the event; Hypercorn polls it as often."""


class Host:
    """The Hypercorn that runs the app."""

    def __init__(self) -> None:
        arguments: dict[str, Any] = getattr(multiprocessing.current_process(), "_kwargs", {})
        self._config = arguments.get("config")
        self._stopping: Any = arguments.get("shutdown_event")
        self._interrupt = signal.getsignal(signal.SIGINT)

    @property
    def is_worker(self) -> bool:
        """Return whether this process is a worker of Hypercorn's command line."""
        return self._stopping is not None

    def allow_interrupt(self) -> None:
        """Make sure that ``stop_with`` can stop a Hypercorn without a worker process.

        That Hypercorn stops only at a KeyboardInterrupt. Trio raises none if SIGINT is ignored when its loop starts,
        and a shell script starts a background command (``hypercorn … &``) with SIGINT ignored.
        """
        if not self.is_worker and self._interrupt is signal.SIG_IGN and current_thread() is main_thread():
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def wait_for_lifespan(self, seconds: float) -> None:
        """Make Hypercorn wait at least this long for the end of the lifespan."""
        if self._config is not None:
            self._config.shutdown_timeout = max(self._config.shutdown_timeout, seconds)

    async def report_stop(self, report: Callable[[], None]) -> None:
        """Call ``report`` when the parent process stops."""
        while self.is_worker:
            if self._stopping.is_set():
                report()
                return
            await trio.sleep(EVENT_SECONDS)

    async def stop_with(self, executor: Executor) -> None:
        """Stop Hypercorn once the executor has stopped.

        Not earlier, because setting the shared event is not reentrant: a second signal could interrupt the parent then.
        """
        await executor.stopped.wait()
        if self.is_worker:
            parent = multiprocessing.parent_process()
            # otherwise the parent has died, and its pid may belong to another process
            if parent is not None and parent.pid == os.getppid():
                os.kill(parent.pid, signal.SIGTERM)
        elif executor.draining.is_set():
            self._interrupt_main_task()

    @trio.lowlevel.enable_ki_protection
    def _interrupt_main_task(self) -> None:
        """Do what Ctrl-C does: Hypercorn without a worker process stops at a KeyboardInterrupt."""
        if callable(self._interrupt):
            self._interrupt(signal.SIGINT, inspect.currentframe())
