"""An executor on a local store, in virtual time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from pexecutor import Executor, LocalStore
from pexecutor.handlers import Catalogue, Handler

EPOCH = 1_800_000_000.0

RunHere = Callable[..., Awaitable[Executor]]


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
