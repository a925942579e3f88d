"""Numbers and pauses go along with the tasks, and so do the limit keys of tasks."""

from __future__ import annotations

from pathlib import Path

from pexecutor import Record, Task
from pexecutor.limits.keys import LimitKey
from pexecutor.stores import Watcher
from pexecutor.stores.sqlite.inspection import check

from .test_move import full, here, move_files, serving, there

__all__ = ["full", "here", "there"]


async def test_they_hold_in_the_other_store(full: list[Record], here: Path, there: Path) -> None:
    async with serving(here) as store:
        store.watch(Watcher(limit_keys=lambda _: (LimitKey("api", "x"),)))
        await store.limits.set_numbers({"api": 1}, {"sleep": 2})
        await store.limits.pause("other", "me")
        await store.limits.pause(None, "me")
        await store.submit([Task("first limited", priority=100), Task("second limited", priority=100)])
        state = await store.limits.state()
    await move_files(here, there)
    async with serving(there) as store:
        assert await store.limits.state() == state
        assert store.claim_nowait(1) == []
        await store.limits.resume(None)
        claimed = await store.claim(2)
        started = [record.task.name for record in claimed]
        assert started[0] == "first limited"
        assert "second limited" not in started
        await store.release(claimed)
        state = await store.limits.state()
    await move_files(there, here)
    async with serving(here) as store:
        assert await store.limits.state() == state
    assert check(there).beside == {}
