"""``Server``: a server process on a free loopback port, with one keep-alive connection to the process."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Self

PROJECT: Final = Path(__file__).parents[1]

QUEUE_SIZE: Final = 10_000_000
"""Large enough that no batch is refused, so that no figure includes a wait for room in the queue."""

_CPU_CLOCK: Final = 2
"""The kernel's code for "scheduler CPU time", the low bits of a process's clock id; see ``clock_getcpuclockid``."""

POLL_SECONDS: Final = 0.005
RUN_SECONDS_MAX: Final = 120


class Server:
    """A server process that is killed at the end of the context.

    Parameters:
        module: the Python module to run.
        arguments: the command-line arguments.
        token: the token to send with each request.
    """

    def __init__(self, module: str, *arguments: str, token: str | None = None) -> None:
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        begin = time.perf_counter()
        command = [sys.executable, "-m", module, *arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=PROJECT)
        assert self._process.stdout is not None
        announced = re.search(r":(\d+)$", self._process.stdout.readline().strip())
        if announced is None:
            raise SystemExit(f"{module} did not start; see its error output above")
        self.pid = self._process.pid
        self.port = int(announced[1])
        self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        self.get("/readyz")
        self.seconds_to_serve = time.perf_counter() - begin
        """The time from the start of the process to its first reply."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._process.kill()
        self._process.communicate()

    def get(self, path: str) -> bytes:
        """Send a GET request and return the body of the reply."""
        self._connection.request("GET", path, headers=self._headers)
        return self._connection.getresponse().read()

    def submit(self, batch: bytes) -> None:
        """Submit a list of tasks; end the benchmark if the server refuses it."""
        self._post("/tasks?verdicts=none", batch, {"Content-Type": "application/json"})

    def stream(self, pieces: Iterable[bytes]) -> None:
        """Submit a stream of tasks, one per line; end the benchmark if the server refuses it."""
        headers = {"Content-Type": "application/x-ndjson", "Transfer-Encoding": "chunked"}
        self._post("/tasks?verdicts=none", pieces, headers)

    def _post(self, path: str, body: bytes | Iterable[bytes], headers: dict[str, str]) -> dict[str, Any]:
        headers = {**headers, **self._headers}
        self._connection.request("POST", path, body, headers, encode_chunked="Transfer-Encoding" in headers)
        response = self._connection.getresponse()
        reply = response.read()
        if response.status not in (200, 202):
            raise SystemExit(f"the server refused the tasks with status {response.status}: {reply.decode()}")
        content: dict[str, Any] = json.loads(reply)
        return content

    def statistics(self) -> dict[str, Any]:
        """Return the server's statistics."""
        statistics: dict[str, Any] = json.loads(self.get("/readyz"))["statistics"]
        return statistics

    def finished(self) -> int:
        """Return the number of tasks whose outcome this server recorded."""
        return sum(self.statistics()["store"]["finished"].values())

    def wait_for(self, finished: int) -> None:
        """Wait until `finished` tasks have an outcome; end the benchmark if that takes too long."""
        deadline = time.monotonic() + RUN_SECONDS_MAX
        while self.finished() < finished:
            if time.monotonic() > deadline:
                raise SystemExit(f"only {self.finished()} of {finished} tasks finished within {RUN_SECONDS_MAX} s")
            time.sleep(POLL_SECONDS)

    def take_counts(self) -> dict[str, Any]:
        """Wait until no task is in flight; return the handlers' counts since the last call, and reset them."""
        while self._in_flight():
            time.sleep(POLL_SECONDS)
        task = {"name": f"counts-{time.monotonic_ns()}", "handler": "take_counts", "priority": 100}
        record = self._post("/tasks", json.dumps(task).encode(), {"Content-Type": "application/json"})
        counts: dict[str, Any] = json.loads(self.get(f"/tasks/{record['id']}?wait=30"))["result"]
        return counts

    def _in_flight(self) -> int:
        store = self.statistics()["store"]
        return int(store["pending"] + store["running"])

    def cpu_seconds(self) -> float:
        """Return the CPU time that all threads of the server have used so far."""
        return time.clock_gettime((~self.pid << 3) | _CPU_CLOCK)

    def memory_bytes(self) -> int:
        """Return the resident memory of the server."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8")
        return 1024 * int(status.partition("VmRSS:")[2].split()[0])


def pexecutor_server(*flags: str, token: str | None = None) -> Server:
    """Start pexecutor with the benchmark's handlers and room for all tasks."""
    fixed = ("--port", "0", "--log-level", "error", "--handlers", "bench.jobs", "--queue-size", str(QUEUE_SIZE))
    return Server("pexecutor", *fixed, *flags, token=token)


def plain_server() -> Server:
    """Start the plain server that pexecutor is compared with."""
    return Server("bench.plain")
