from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

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
