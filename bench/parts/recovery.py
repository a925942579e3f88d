"""Measure the cost of pending tasks: memory, pages of the list, and the start after a crash."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

from ..frame import Bar, Contestant, Field, Figure, Part
from ..results import Run
from ..server import Server, pexecutor_server
from ..waiting import fill, longest_hold, pending, wait_until_busy

COUNTS: Final = (10_000, 1_000_000)
MOST: Final = f"pexecutor, {COUNTS[-1]:,} pending"
PAGES: Final = 20
PAGE_RECORDS: Final = 1000


@contextmanager
def contestants(quick: bool) -> Iterator[Field]:
    """Yield one contestant for each number of pending tasks; each run uses a new file and two server processes."""
    share = 20 if quick else 1
    yield Field([Contestant(f"pexecutor, {tasks:,} pending", partial(_run, tasks // share)) for tasks in COUNTS])


def _run(tasks: int) -> Run:
    """Fill a server, kill it, and start it again; count the tasks that are pending then."""
    with tempfile.TemporaryDirectory() as folder:
        flags = ("--data-dir", folder, "--pool-size", "1")
        with pexecutor_server(*flags) as server:
            without = server.memory_bytes()
            fill(server, tasks)
            hold = longest_hold(server)
            filled = server.memory_bytes()
        with pexecutor_server(*flags) as server:
            figures = {
                "serves_after": server.seconds_to_serve,
                "bytes_a_task": (filled - without) / tasks,
                "bytes_a_task_recovered": (server.memory_bytes() - without) / tasks,
                "hold": hold.worked,
                "hold_passed": hold.passed,
            }
            wait_until_busy(server)
            there = pending(server)
            pages = sorted(_page_milliseconds(server) for _ in range(PAGES))
            figures |= {"page": pages[len(pages) // 2], "slowest_page": pages[-1]}
    return Run(tasks, there, figures)


def _page_milliseconds(server: Server) -> float:
    begin = time.perf_counter()
    server.get(f"/tasks/pending?limit={PAGE_RECORDS}")
    return 1000 * (time.perf_counter() - begin)


PART: Final = Part(
    name="recovery",
    title="Pending tasks, and the start after a crash",
    about=(
        "A server on SQLite is filled over HTTP in batches of a thousand tasks, killed with SIGKILL, and started "
        f"again on the same file. Memory is the increase over the same server without tasks. A page is {PAGE_RECORDS} "
        f"records over HTTP; the figures are the median and the slowest of {PAGES} pages. The count is the number of "
        "tasks that are pending after the start."
    ),
    figures={
        "serves_after": Figure("Start to first reply", "s", 2),
        "bytes_a_task": Figure("Memory per task, filled", "bytes"),
        "bytes_a_task_recovered": Figure("Memory per task, after the start", "bytes"),
        "page": Figure("Page, median", "ms", 1),
        "slowest_page": Figure("Page, slowest", "ms", 1),
        "hold": Figure("Longest block of the event loop while filling, CPU time", "ms", 1),
        "hold_passed": Figure("Longest block of the event loop while filling, elapsed time", "ms", 1),
    },
    plotted=("serves_after", "bytes_a_task", "hold"),
    bars=[
        Bar("memory per task, 1M pending, bytes", MOST, "bytes_a_task", 500, 300, at_most=True),
        Bar("slowest page of 1000, 1M pending, ms", MOST, "slowest_page", 20, at_most=True),
        Bar("longest block of the event loop while accepting 1M, ms of CPU", MOST, "hold", 5, at_most=True),
    ],
    open=contestants,
)
