"""Hypercorn's command line as the host of the app: how its processes stop.

Hypercorn runs the app in a worker process. Its parent process tells the worker to stop by an event that both share,
starts a new worker after one that ended with status 0, and takes SIGHUP for a request to do just that. So:

* the app looks at the shared event itself, and begins the drain as soon as the parent has been signalled;
* once the drain is over, it sends the parent a SIGTERM, so a worker that was signalled alone is not replaced.

Its connections are served by ``web/hosted.py``.

The event and Hypercorn's settings are found in the arguments of the worker's process object. A program that calls
Hypercorn itself has none; there the drain begins with the lifespan's own message or a signal.
"""

from __future__ import annotations

import inspect
import multiprocessing
import os
import signal
from collections.abc import Callable
from typing import Any, Final

import trio

from ..core.executor import Executor

EVENT_SECONDS: Final = 0.1
"""How often the event is looked at, which is how often Hypercorn does."""


class Host:
    """The Hypercorn that runs the app."""

    def __init__(self) -> None:
        arguments: dict[str, Any] = getattr(multiprocessing.current_process(), "_kwargs", {})
        self._config = arguments.get("config")
        self._stopping: Any = arguments.get("shutdown_event")
        self._interrupt = signal.getsignal(signal.SIGINT)

    @property
    def is_worker(self) -> bool:
        """Whether this process is a worker of Hypercorn's command line."""
        return self._stopping is not None

    def wait_for_lifespan(self, seconds: float) -> None:
        """Have Hypercorn wait this long for the end of the lifespan, if it would wait for less."""
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
        """Have Hypercorn stop when the executor has stopped.

        Not before: a second signal could meet the parent while it sets the event, which is not made for that.
        """
        await executor.stopped.wait()
        if self.is_worker:
            parent = multiprocessing.parent_process()
            if parent is not None and parent.pid == os.getppid():  # otherwise it has died, and its number is another's
                os.kill(parent.pid, signal.SIGTERM)
        elif executor.draining.is_set():
            self._interrupt_main_task()

    @trio.lowlevel.enable_ki_protection
    def _interrupt_main_task(self) -> None:
        """Do as Ctrl-C does, which is what Hypercorn without a worker process stops at."""
        if callable(self._interrupt):
            self._interrupt(signal.SIGINT, inspect.currentframe())
