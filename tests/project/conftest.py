"""The project's files, and its server as a separate process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]

STOP_SECONDS_MAX = 60
"""A time limit for a server that fails to stop; no test normally comes near the limit."""


def clean_environment() -> dict[str, str]:
    """Return an environment with this virtual environment first in PATH, and no settings except the data folder.

    Programs buffer their output, as they do by default.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if name != "PYTHONUNBUFFERED" and (not name.startswith("PEXECUTOR_") or name == "PEXECUTOR_DATA_DIR")
    }
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    return environment


class ServerProcess:
    """A server process, and its output so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._lines: list[str] = []
        self.announced = self._first_line_with_a_port()
        self.port = int(self.announced.rsplit(":", 1)[1])

    def stop(self) -> tuple[int, str]:
        """Send SIGTERM to the server; return its exit status and its whole log."""
        self._process.send_signal(signal.SIGTERM)
        return self.end()

    def end(self) -> tuple[int, str]:
        """Wait until the server ends; return its exit status and its whole log."""
        status = self._process.wait(timeout=STOP_SECONDS_MAX)
        assert self._process.stdout is not None
        rest = self._process.stdout.read()  # communicate() would miss lines that are already buffered
        return status, "".join(self._lines) + rest

    def _first_line_with_a_port(self) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.append(line)
            if (found := re.search(r"http://[\d.]+:\d+", line)) is not None:
                return found[0]
        raise AssertionError(f"the server ended without having served: {''.join(self._lines)}")


Launch = Callable[..., ServerProcess]


@contextmanager
def serving(command: Sequence[str], cwd: Path | None = None, **variables: str) -> Iterator[ServerProcess]:
    """Run a server with this command and these additional variables; kill it at the end if it still runs."""
    with subprocess.Popen(
        command,
        cwd=cwd,
        env=clean_environment() | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield ServerProcess(process)
        finally:
            process.kill()


@pytest.fixture
def launch() -> Iterator[Launch]:
    """Start servers with ``serving``; they run until the test ends."""
    with ExitStack() as stack:
        yield lambda *arguments, **variables: stack.enter_context(serving(*arguments, **variables))


@pytest.fixture
def server(launch: Launch) -> ServerProcess:
    """A server with default settings, on a free port."""
    return launch([sys.executable, "-m", "pexecutor", "--port", "0"])
