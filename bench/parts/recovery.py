"""What tasks that wait cost: memory, pages of their listing, and the start after a crash."""

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
    """A file and two servers of its own for each run."""
    share = 20 if quick else 1
    yield Field([Contestant(f"pexecutor, {tasks:,} pending", partial(_run, tasks // share)) for tasks in COUNTS])


def _run(tasks: int) -> Run:
    """Fill a server, kill it, start it again; counted are the tasks that are there then."""
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
    title="Tasks that wait, and the start after a crash",
    about=(
        "A server on SQLite is filled over HTTP, a thousand tasks a batch, killed with SIGKILL, and started again "
        f"on what it has left. Memory is against the same server without tasks; pages are of {PAGE_RECORDS} records "
        f"over HTTP, the median and the slowest of {PAGES}. Counted are the tasks that wait after the start."
    ),
    figures={
        "serves_after": Figure("Start to first answer", "s", 2),
        "bytes_a_task": Figure("Memory a task, filled", "bytes"),
        "bytes_a_task_recovered": Figure("Memory a task, after the start", "bytes"),
        "page": Figure("A page", "ms", 1),
        "slowest_page": Figure("The slowest page", "ms", 1),
        "hold": Figure("Longest hold of the loop while filling, CPU", "ms", 1),
        "hold_passed": Figure("The same, all time", "ms", 1),
    },
    plotted=("serves_after", "bytes_a_task", "hold"),
    bars=[
        Bar("memory a task, 1M pending, bytes", MOST, "bytes_a_task", 500, 300, at_most=True),
        Bar("the slowest page of 1000, 1M pending, ms", MOST, "slowest_page", 20, at_most=True),
        Bar("longest hold of the loop while 1M are taken, ms of CPU", MOST, "hold", 5, at_most=True),
    ],
    open=contestants,
)
