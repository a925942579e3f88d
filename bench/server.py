"""``Server``: a ``pexecutor`` process on a free loopback port, and one keep-alive connection to it."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Self


class Server:
    """A server that is killed at the end of its context.

    Parameters:
        flags: what it is started with, besides the port.
    """

    def __init__(self, *flags: str) -> None:
        begin = time.perf_counter()
        command = [sys.executable, "-m", "pexecutor", "--port", "0", "--log-level", "error", *flags]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        announced = re.search(r":(\d+)$", self._process.stdout.readline().strip())
        if announced is None:
            raise SystemExit("the server did not start")
        self._connection = http.client.HTTPConnection("127.0.0.1", int(announced[1]), timeout=60)
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
        self._connection.request("GET", path)
        return self._connection.getresponse().read()

    def submit(self, batch: bytes) -> None:
        """Have it take a list of tasks, or end the benchmark."""
        self._connection.request("POST", "/tasks?verdicts=none", batch, {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        reply = response.read()
        if response.status != 200:
            raise SystemExit(f"a batch was answered {response.status}: {reply.decode()}")

    def in_flight(self) -> int:
        """How many tasks have not finished yet."""
        store = json.loads(self.get("/readyz"))["statistics"]["store"]
        return int(store["pending"] + store["running"])

    def memory_bytes(self) -> int:
        """Its resident memory."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="utf-8")
        [kilobytes] = re.findall(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
        return int(kilobytes) * 1024
