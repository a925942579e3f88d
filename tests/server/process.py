"""A server process on a free loopback port, started and ended by the test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2

WAIT_SECONDS_MAX = 40


class ServerProcess:
    """A process of ``pexecutor``, or of another command that prints its URL."""

    def __init__(self, *flags: str, command: Sequence[str] = ("-m", "pexecutor"), log: Path | None = None) -> None:
        self._log = log
        self._directory = TemporaryDirectory()  # the data folder, if the test sets none
        with (log or Path(os.devnull)).open("wb") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "error", *command, *flags],
                env={"PEXECUTOR_DATA_DIR": self._directory.name, **os.environ},
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if "serves at " not in line:
            self._process.communicate(timeout=WAIT_SECONDS_MAX)
            self._directory.cleanup()
            raise AssertionError(f"it did not start: {self.log_text()}")
        self.url = line.split()[-1]
        self.client = httpx2.Client(base_url=self.url, timeout=WAIT_SECONDS_MAX, verify=False)

    @property
    def data_directory(self) -> str:
        """The data folder, if the test sets none."""
        return self._directory.name

    @property
    def pid(self) -> int:
        return self._process.pid

    def announced(self) -> str:
        """Return the line that the server prints after its URL."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self) -> int:
        return self._process.wait(WAIT_SECONDS_MAX)

    def wait_for_end(self, *, until: Callable[[], bool]) -> bool:
        """Return whether the process ended before `until`, which sends requests to it, became true."""
        end = time.monotonic() + WAIT_SECONDS_MAX
        while self._process.poll() is None:
            assert time.monotonic() < end, "neither happened"
            with suppress(httpx2.TransportError):
                if until():
                    return False
            time.sleep(0.02)
        return True

    def wait_for_ever(self) -> int:
        return self._process.wait()

    def kill(self) -> None:
        self._process.kill()

    def log_text(self) -> str:
        return self._log.read_text() if self._log is not None else ""

    def log_events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log_text().splitlines()]

    def close(self) -> None:
        self.client.close()
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._directory.cleanup()


def eventually(condition: Any, seconds_max: float = WAIT_SECONDS_MAX) -> Any:
    """Call `condition` until its result is true; return the result."""
    end = time.monotonic() + seconds_max
    while not (answer := condition()):
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)
    return answer
