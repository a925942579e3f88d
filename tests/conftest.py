"""For every test: how they are spread over processes, and that none leaves the log, or the data of whoever runs them,
other than it was.
"""

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


def virtual_now() -> float:
    """A wall clock that goes with the virtual one."""
    return EPOCH + trio.current_time()


@pytest.fixture
async def run_here(nursery: trio.Nursery, autojump_clock: MockClock) -> AsyncIterator[RunHere]:
    """Start an executor; it is cancelled at the end of the test if it still runs."""

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
