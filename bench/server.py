"""``Server``: a process that serves on a free loopback port, and one keep-alive connection to it."""

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
"""Big enough that no batch is refused: what is measured is the work, not the waiting."""

_CPU_CLOCK: Final = 2
"""What makes a process's number that of the clock of its processor time; see ``clock_getcpuclockid``."""

POLL_SECONDS: Final = 0.005
RUN_SECONDS_MAX: Final = 120


class Server:
    """A server that is killed at the end of its context.

    Parameters:
        module: what Python runs.
        arguments: what it is started with.
        token: the token that requests over the connection show.
    """

    def __init__(self, module: str, *arguments: str, token: str | None = None) -> None:
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        begin = time.perf_counter()
        command = [sys.executable, "-m", module, *arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=PROJECT)
        assert self._process.stdout is not None
        announced = re.search(r":(\d+)$", self._process.stdout.readline().strip())
        if announced is None:
            raise SystemExit("the server did not start")
        self.pid = self._process.pid
        self.port = int(announced[1])
        self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        self.get("/readyz")
        self.seconds_to_serve = time.perf_counter() - begin
        """From the start of the process to its first answer."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._process.kill()
        self._process.communicate()

    def get(self, path: str) -> bytes:
        """The body of an answer."""
        self._connection.request("GET", path, headers=self._headers)
        return self._connection.getresponse().read()

    def submit(self, batch: bytes) -> None:
        """Have it take a list of tasks, or end the benchmark."""
        self._post("/tasks?verdicts=none", batch, {"Content-Type": "application/json"})

    def stream(self, pieces: Iterable[bytes]) -> None:
        """Have it take tasks, one a line, as they come; or end the benchmark."""
        headers = {"Content-Type": "application/x-ndjson", "Transfer-Encoding": "chunked"}
        self._post("/tasks?verdicts=none", pieces, headers)

    def _post(self, path: str, body: bytes | Iterable[bytes], headers: dict[str, str]) -> dict[str, Any]:
        headers = {**headers, **self._headers}
        self._connection.request("POST", path, body, headers, encode_chunked="Transfer-Encoding" in headers)
        response = self._connection.getresponse()
        reply = response.read()
        if response.status not in (200, 202):
            raise SystemExit(f"tasks were answered {response.status}: {reply.decode()}")
        said: dict[str, Any] = json.loads(reply)
        return said

    def statistics(self) -> dict[str, Any]:
        """Its snapshot for observers."""
        statistics: dict[str, Any] = json.loads(self.get("/readyz"))["statistics"]
        return statistics

    def finished(self) -> int:
        """How many tasks have their outcome, recorded by this process."""
        return sum(self.statistics()["store"]["finished"].values())

    def wait_for(self, finished: int) -> None:
        """Wait until so many have their outcome, or end the benchmark."""
        deadline = time.monotonic() + RUN_SECONDS_MAX
        while self.finished() < finished:
            if time.monotonic() > deadline:
                raise SystemExit(f"of {finished} tasks {self.finished()} have finished in {RUN_SECONDS_MAX} s")
            time.sleep(POLL_SECONDS)

    def told(self) -> dict[str, Any]:
        """What its handlers have counted and noted since they were last asked, once nothing is in flight."""
        while self._in_flight():
            time.sleep(POLL_SECONDS)
        task = json.dumps({"name": f"told-{time.monotonic_ns()}", "handler": "told", "priority": 100}).encode()
        record = self._post("/tasks", task, {"Content-Type": "application/json"})
        said: dict[str, Any] = json.loads(self.get(f"/tasks/{record['id']}?wait=30"))["result"]
        return said

    def _in_flight(self) -> int:
        store = self.statistics()["store"]
        return int(store["pending"] + store["running"])

    def cpu_seconds(self) -> float:
        """The time of the processor that all its threads have taken so far."""
        return time.clock_gettime((~self.pid << 3) | _CPU_CLOCK)

    def memory_bytes(self) -> int:
        """Its resident memory."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8")
        return 1024 * int(status.partition("VmRSS:")[2].split()[0])


def pexecutor_server(*flags: str, token: str | None = None) -> Server:
    """pexecutor, with the benchmark's handlers and room for everything."""
    fixed = ("--port", "0", "--log-level", "error", "--handlers", "bench.jobs", "--queue-size", str(QUEUE_SIZE))
    return Server("pexecutor", *fixed, *flags, token=token)


def plain_server() -> Server:
    """The plain handlers that pexecutor is held against."""
    return Server("bench.plain")
