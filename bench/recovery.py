"""How soon a server that was killed serves again, and what a task that waits costs.

A server process is given tasks that wait, killed with SIGKILL, and started again on what it has left. Measured from the
outside: from the start of the process to its first answer, its memory against that of a server without tasks, and pages
of its listing over HTTP. Every task is counted after the start: one that is missing ends the benchmark.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final, NamedTuple, Self

BATCH_TASKS: Final = 10_000
PAGES: Final = 20
PAGE_RECORDS: Final = 1000


class Server:
    """A server process on a directory, and how long it took until it answered."""

    def __init__(self, directory: Path, queue_size: int) -> None:
        begin = time.perf_counter()
        flags = ["--port", "0", "--queue-size", str(queue_size), "--pool-size", "1", "--log-level", "error"]
        command = [sys.executable, "-m", "pexecutor", *flags, "--data-dir", str(directory)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        announced = re.search(r":(\d+)$", self._process.stdout.readline().strip())
        if announced is None:
            raise SystemExit("the server did not start")
        self._connection = http.client.HTTPConnection("127.0.0.1", int(announced[1]), timeout=60)
        self.get("/readyz")
        self.seconds_to_serve = time.perf_counter() - begin

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._process.kill()
        self._process.communicate()

    def get(self, path: str) -> bytes:
        """The body of an answer."""
        self._connection.request("GET", path)
        return self._connection.getresponse().read()

    def submit(self, tasks: int) -> None:
        """Have so many tasks wait, behind one that runs."""
        self._post([{"name": "blocker", "duration": 600_000, "priority": 1}])
        for first in range(0, tasks, BATCH_TASKS):
            self._post([{"name": f"task-{number}"} for number in range(first, min(first + BATCH_TASKS, tasks))])

    def _post(self, batch: list[dict[str, object]]) -> None:
        headers = {"Content-Type": "application/json"}
        self._connection.request("POST", "/tasks?verdicts=none", json.dumps(batch), headers)
        response = self._connection.getresponse()
        reply = response.read()
        if response.status != 200:
            raise SystemExit(f"a batch was answered {response.status}: {reply.decode()}")

    def in_flight(self) -> int:
        """How many tasks wait or run."""
        store = json.loads(self.get("/readyz"))["statistics"]["store"]
        return int(store["pending"] + store["running"])

    def memory_bytes(self) -> int:
        """Its resident memory."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="utf-8")
        [kilobytes] = re.findall(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
        return int(kilobytes) * 1024

    def page_seconds(self) -> list[float]:
        """How long some pages took, the first one of a connection aside."""
        path, seconds = f"/tasks/pending?limit={PAGE_RECORDS}", []
        for _ in range(PAGES):
            begin = time.perf_counter()
            self.get(path)
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
        with Server(Path(directory), tasks + 1) as server:
            server.submit(tasks)
        with Server(Path(directory), tasks + 1) as server:
            if server.in_flight() != tasks + 1:
                raise SystemExit(f"of {tasks + 1} tasks there are {server.in_flight()}")
            bytes_a_task = (server.memory_bytes() - idle_bytes) / tasks
            return Recovery(tasks, server.seconds_to_serve, bytes_a_task, server.page_seconds())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, Server(Path(directory), 1) as idle:
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
