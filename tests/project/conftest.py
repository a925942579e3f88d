"""The project's files, and its server as a process of its own."""

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
"""A bound for a server that fails to stop; no test expects to come near it."""


def clean_environment() -> dict[str, str]:
    """The environment with this virtual environment's programs in front, and of our settings only where data is.

    Programs buffer what they print, as they do for most people.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if name != "PYTHONUNBUFFERED" and (not name.startswith("PEXECUTOR_") or name == "PEXECUTOR_DATA_DIR")
    }
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    return environment


class ServerProcess:
    """A program that serves, and what it printed so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._lines: list[str] = []
        self.announced = self._first_line_with_a_port()
        self.port = int(self.announced.rsplit(":", 1)[1])

    def stop(self) -> tuple[int, str]:
        """Send it SIGTERM; its exit status and its whole log."""
        self._process.send_signal(signal.SIGTERM)
        return self.end()

    def end(self) -> tuple[int, str]:
        """Wait for its end; its exit status and its whole log."""
        status = self._process.wait(timeout=STOP_SECONDS_MAX)
        assert self._process.stdout is not None
        rest = self._process.stdout.read()  # communicate() would not see what was read ahead
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
    """A server, from its command, with these variables more; it is killed at the end if it still runs."""
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
    """Start servers with ``serving``, until the test ends."""
    with ExitStack() as stack:
        yield lambda *arguments, **variables: stack.enter_context(serving(*arguments, **variables))


@pytest.fixture
def server(launch: Launch) -> ServerProcess:
    """A server with default settings, on a free port."""
    return launch([sys.executable, "-m", "pexecutor", "--port", "0"])
