"""Servers for the tests of a shared store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from .server import PROGRAMS, ValkeyServer, valkey_server

KEEPS_ALL: Final = ("--appendonly", "yes", "--appendfsync", "always")


@pytest.fixture(scope="module", params=PROGRAMS)
def program(request: pytest.FixtureRequest) -> str:
    """Each binary that there is."""
    return PROGRAMS[request.param]


@pytest.fixture(scope="module")
def server(program: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """A server that keeps what it is given."""
    folder: Path = tmp_path_factory.mktemp("server")
    with valkey_server(folder, *KEEPS_ALL, program=program) as server:
        yield server
