"""Time a peer's run and print the result: the number of jobs enqueued, the number that ran, and both rates.

Each peer's program runs in its own interpreter with two arguments: the address of its store and the number of jobs. It
first enqueues all jobs while no worker runs, then runs a worker in the same process until the last job has run.
Enqueueing is timed around the calls. The drain is timed from the start of the first job to the start of the last, so
the worker's start-up does not count against a peer. Each job counts its own run, and the program prints that count.
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
    """A stopwatch for one run.

    Parameters:
        on_last: called when the last job runs.
    """

    def __init__(self, on_last: Callable[[], None] = lambda: None) -> None:
        self.on_last = on_last
        self._ran = 0
        self._counting = threading.Lock()
        self._enqueued_seconds = self._first = self._last = 0.0

    @contextmanager
    def enqueueing(self) -> Iterator[None]:
        """Time the calls inside the context that enqueue the jobs."""
        begin = time.perf_counter()
        yield
        self._enqueued_seconds = time.perf_counter() - begin

    def job(self) -> None:
        """Count one run; every job calls this."""
        with self._counting:
            self._ran += 1
            ran = self._ran
        if ran == 1:
            self._first = time.perf_counter()
        elif ran == JOBS:
            self._last = time.perf_counter()
            self.on_last()

    def report(self) -> None:
        """Print the result and exit at once, without waiting for the worker's threads and connections."""
        seconds = self._last - self._first
        figures = {"enqueued": JOBS / self._enqueued_seconds, "drained": (JOBS - 1) / seconds if seconds > 0 else 0.0}
        print(json.dumps({"sent": JOBS, "ran": self._ran, "figures": figures}), flush=True)
        os._exit(0)
