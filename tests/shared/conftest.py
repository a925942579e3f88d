"""Servers for the tests of a shared store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .server import ValkeyServer, valkey_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """A server that keeps what it is given."""
    folder: Path = tmp_path_factory.mktemp("valkey")
    with valkey_server(folder, "--appendonly", "yes") as server:
        yield server
