"""For every test: how they are spread over processes, and that none leaves the log, or the data of whoever runs them,
other than it was.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors: a good part of the tests waits, for processes and for timers."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(autouse=True)
def log_as_it_was() -> Iterator[None]:
    """A server that a test starts in this process sets up the log, to a stream that ends with the test."""
    yield
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the servers of this test keep their tasks."""
    directory = tmp_path / "data"
    monkeypatch.setenv("PEXECUTOR_DATA_DIR", str(directory))
    return directory
