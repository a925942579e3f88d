"""What each peer's program says of its run: how many jobs it put in the queue, how many really ran, and how fast.

A program is started by its own interpreter, with the address of its store and a number of jobs. It first enqueues all
of them while nothing works, then runs a worker in the same process until the last has run. Enqueueing is timed around
the calls; the drain from the start of the first job to that of the last, so that a worker's way up is nobody's loss.
The job counts itself, and that count is what is printed.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ADDRESS = sys.argv[1]
JOBS = int(sys.argv[2])


class Stopwatch:
    """Times one run.

    Parameters:
        on_last: called once the last job runs.
    """

    def __init__(self, on_last: Callable[[], None] = lambda: None) -> None:
        self.on_last = on_last
        self._ran = 0
        self._counting = threading.Lock()
        self._enqueued_seconds = self._first = self._last = 0.0

    @contextmanager
    def enqueueing(self) -> Iterator[None]:
        """Time what happens in here."""
        begin = time.perf_counter()
        yield
        self._enqueued_seconds = time.perf_counter() - begin

    def job(self) -> None:
        """What every job does: count itself."""
        with self._counting:
            self._ran += 1
            ran = self._ran
        if ran == 1:
            self._first = time.perf_counter()
        elif ran == JOBS:
            self._last = time.perf_counter()
            self.on_last()

    def report(self) -> None:
        """Print the run and leave, whatever the worker left behind."""
        seconds = self._last - self._first
        figures = {"enqueued": JOBS / self._enqueued_seconds, "drained": (JOBS - 1) / seconds if seconds > 0 else 0.0}
        print(json.dumps({"sent": JOBS, "ran": self._ran, "figures": figures}), flush=True)
        os._exit(0)
