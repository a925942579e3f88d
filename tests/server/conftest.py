from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from pexecutor.cli import main

from .process import ServerProcess

StartServer = Callable[..., ServerProcess]


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """Start a server process; it is killed at the end of the test if it still runs."""
    started: list[ServerProcess] = []

    def start(
        *flags: str, command: tuple[str, ...] = ("-m", "pexecutor", "-port", "0", "--log-format", "json")
    ) -> ServerProcess:
        started.append(ServerProcess(*flags, command=command, log=tmp_path / f"log-{len(started)}"))
        return started[-1]

    yield start
    for server in started:
        server.close()


class Result(NamedTuple):
    """How a command ended, and what it said."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process, to its exit."""

    def run_here(*arguments: str, **environment: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["pexecutor", *arguments])
        for variable, value in environment.items():
            monkeypatch.setenv(variable, value)
        with pytest.raises(SystemExit) as ended:
            main()
        for variable in environment:
            monkeypatch.delenv(variable)
        return Result(int(ended.value.code or 0), *capfd.readouterr())

    return run_here
