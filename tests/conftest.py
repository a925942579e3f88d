"""Fixtures for all tests: distribution over processes, and isolation of the log and of the user's data."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio
from trio.testing import MockClock

from pexecutor import Executor, LocalStore
from pexecutor.handlers import Catalogue, Handler

EPOCH = 1_800_000_000.0

RunHere = Callable[..., Awaitable[Executor]]


def pytest_xdist_auto_num_workers() -> int:
    """Return the number of processors plus one, because many tests wait for processes and timers."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(autouse=True)
def log_as_it_was() -> Iterator[None]:
    """Restore the log after each test: a server in this process configures it for a stream that ends with the test."""
    yield
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set a temporary directory for the data of this test's servers."""
    directory = tmp_path / "data"
    monkeypatch.setenv("PEXECUTOR_DATA_DIR", str(directory))
    return directory


def virtual_now() -> float:
    """A wall clock that advances with the virtual clock."""
    return EPOCH + trio.current_time()


@pytest.fixture
async def run_here(nursery: trio.Nursery, autojump_clock: MockClock) -> AsyncIterator[RunHere]:
    """Start an executor; cancel it at the end of the test if it still runs."""

    async def start(
        store: LocalStore | None = None, *, queue_size: int = 1000, handler: Handler | None = None, **settings: Any
    ) -> Executor:
        assert autojump_clock.current_time() == trio.current_time(), "the test must take autojump_clock itself"
        store = store or LocalStore(queue_size=queue_size, now=virtual_now)
        if handler is not None:
            settings["handlers"] = Catalogue({"sleep": handler})
        executor = Executor(store, **settings)
        await nursery.start(executor.run)
        return executor

    yield start
    nursery.cancel_scope.cancel()
