"""The handlers that the benchmark runs on pexecutor: jobs that count their runs, and one that returns the counts."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import trio

import pexecutor

NO_OP: Final = "no_op"
NAP: Final = "nap"
HOLD: Final = "hold"
NAP_SECONDS: Final = 0.02
WATCH_SECONDS: Final = 0.001


class Counter:
    """The number of jobs that have run in this process, and the time of the first."""

    def __init__(self) -> None:
        self.ran = 0
        self.first_at = 0.0
        self.delays: list[float] = []
        self.on_run: Callable[[], None] = lambda: None

    def count(self) -> None:
        """Count one run."""
        self.ran += 1
        if self.ran == 1:
            self.first_at = time.perf_counter()
        self.on_run()

    def reset(self) -> None:
        """Set the count to 0 and forget the delays."""
        self.ran = 0
        self.delays.clear()


counter: Final = Counter()
"""The counter of this process."""


@pexecutor.handler
async def no_op(_context: Any) -> None:
    """Only count the run."""
    counter.count()


@pexecutor.handler
async def nap(_context: Any, *, tally: str) -> None:
    """Sleep for 20 ms, then append one byte to the file `tally`, which jobs in all processes share."""
    await trio.sleep(NAP_SECONDS)
    with Path(tally).open("ab") as file:  # noqa: ASYNC230 - a byte to the page cache; a thread would take longer
        file.write(b".")


@pexecutor.handler
async def stamp(_context: Any, *, sent_at: float) -> None:
    """Record the seconds since the task was sent. All processes of a machine share this clock."""
    counter.delays.append(time.perf_counter() - sent_at)
    counter.count()


@pexecutor.handler
async def hold(_context: Any) -> None:
    """Occupy a worker until cancelled."""
    await trio.sleep_forever()


@pexecutor.handler
async def watch(context: Any) -> None:
    """Report the longest time that the event loop was blocked, in microseconds, until cancelled.

    The progress has two numbers: the highest CPU time of a block, and the highest elapsed time of a block. Elapsed time
    includes the time of other programs on the machine.
    """
    worked, passed = 0.0, 0.0
    before, used_before = time.perf_counter(), time.thread_time()
    while True:
        await trio.sleep(WATCH_SECONDS)
        now, used = time.perf_counter(), time.thread_time()
        late = now - before - WATCH_SECONDS
        worked, passed = max(worked, min(late, used - used_before)), max(passed, late)
        before, used_before = now, used
        context.progress(round(worked * 1e6), round(passed * 1e6))


@pexecutor.handler
async def take_counts(_context: Any) -> dict[str, Any]:
    """Return the number of runs and the delays since the last call, and reset both."""
    counts = {"ran": counter.ran, "delays": list(counter.delays)}
    counter.reset()
    return counts
