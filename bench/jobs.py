"""What the benchmark has pexecutor run: handlers that count themselves, and one that tells the count."""

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
    """How many jobs have run in this process, and when the first one did."""

    def __init__(self) -> None:
        self.ran = 0
        self.first_at = 0.0
        self.delays: list[float] = []
        self.on_run: Callable[[], None] = lambda: None

    def count(self) -> None:
        """One more."""
        self.ran += 1
        if self.ran == 1:
            self.first_at = time.perf_counter()
        self.on_run()

    def reset(self) -> None:
        """Begin again."""
        self.ran = 0
        self.delays.clear()


counter: Final = Counter()
"""This process's own."""


@pexecutor.handler
async def no_op(_context: Any) -> None:
    """Does nothing but count itself."""
    counter.count()


@pexecutor.handler
async def nap(_context: Any, *, tally: str) -> None:
    """Takes 20 ms, and then makes a file, which jobs in other processes also write, one byte longer."""
    await trio.sleep(NAP_SECONDS)
    with Path(tally).open("ab") as file:  # noqa: ASYNC230 - a byte to the page cache; a thread would take longer
        file.write(b".")


@pexecutor.handler
async def stamp(_context: Any, *, sent_at: float) -> None:
    """Notes how long ago it was sent; the clock is the same in all processes of a machine."""
    counter.delays.append(time.perf_counter() - sent_at)
    counter.count()


@pexecutor.handler
async def hold(_context: Any) -> None:
    """Occupies a worker for good."""
    await trio.sleep_forever()


@pexecutor.handler
async def watch(context: Any) -> None:
    """Runs until it is cancelled, and tells for how many microseconds at most the loop was held.

    Its progress has two numbers: first the time of the processor that the loop took meanwhile, then the time that went
    by, in which the machine may have run something else.
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
async def told(_context: Any) -> dict[str, Any]:
    """What has been counted and noted since it was last told."""
    said = {"ran": counter.ran, "delays": list(counter.delays)}
    counter.reset()
    return said
