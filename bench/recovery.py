"""How soon a server that was killed serves again, and what a task that waits costs.

A server process is given tasks that wait, killed with SIGKILL, and started again on what it has left. Measured from the
outside: from the start of the process to its first answer, its memory against that of a server without tasks, and pages
of its listing over HTTP. Every task is counted after the start: one that is missing ends the benchmark.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Final, NamedTuple

from .server import Server

BATCH_TASKS: Final = 10_000
PAGES: Final = 20
PAGE_RECORDS: Final = 1000


def serving(directory: Path, queue_size: int) -> Server:
    """A server on a directory; its one worker is there to be kept from the rest."""
    return Server("--data-dir", str(directory), "--queue-size", str(queue_size), "--pool-size", "1")


def fill(server: Server, tasks: int) -> None:
    """Have so many tasks wait, behind one that runs."""
    server.submit(json.dumps([{"name": "blocker", "duration": 600_000, "priority": 1}]).encode())
    for first in range(0, tasks, BATCH_TASKS):
        names = [{"name": f"task-{number}"} for number in range(first, min(first + BATCH_TASKS, tasks))]
        server.submit(json.dumps(names).encode())


def page_seconds(server: Server) -> list[float]:
    """How long some pages took, the first one aside."""
    seconds = []
    for _ in range(PAGES):
        begin = time.perf_counter()
        server.get(f"/tasks/pending?limit={PAGE_RECORDS}")
        seconds.append(time.perf_counter() - begin)
    return seconds[1:]


class Recovery(NamedTuple):
    """What was measured of one number of tasks."""

    tasks: int
    seconds_to_serve: float
    bytes_a_task: float
    page_seconds: list[float]


def measure(tasks: int, idle_bytes: int) -> Recovery:
    """Kill a server with so many tasks that wait, and start it again."""
    with tempfile.TemporaryDirectory() as directory:
        with serving(Path(directory), tasks + 1) as server:
            fill(server, tasks)
        with serving(Path(directory), tasks + 1) as server:
            if server.in_flight() != tasks + 1:
                raise SystemExit(f"of {tasks + 1} tasks there are {server.in_flight()}")
            bytes_a_task = (server.memory_bytes() - idle_bytes) / tasks
            return Recovery(tasks, server.seconds_to_serve, bytes_a_task, page_seconds(server))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, serving(Path(directory), 1) as idle:
        idle_bytes, idle_seconds = idle.memory_bytes(), idle.seconds_to_serve
    print(f"without tasks: serves after {idle_seconds:.2f} s, {idle_bytes / 1e6:.0f} MB")
    for tasks in options.tasks:
        rounds = [measure(tasks, idle_bytes) for _ in range(options.rounds)]
        starts = [one.seconds_to_serve for one in rounds]
        pages = [1000 * seconds for one in rounds for seconds in one.page_seconds]
        print(
            f"{tasks:9,} pending: serves after {statistics.median(starts):.2f} s "
            f"({min(starts):.2f} to {max(starts):.2f}), "
            f"{statistics.median(one.bytes_a_task for one in rounds):.0f} bytes a task, "
            f"a page of {PAGE_RECORDS} in {statistics.median(pages):.1f} ms (at most {max(pages):.1f})"
        )


if __name__ == "__main__":
    main()
