"""Notifications and restarts: what a file of tasks keeps."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

from pexecutor import Executor, LocalStore, PageRequest, Task
from pexecutor.handlers import Catalogue, Context, HandlerFailedError
from pexecutor.notifications.sending import DELIVERED, SendResult
from pexecutor.notifications.settings import Target
from pexecutor.stores.deliveries import Delivery
from pexecutor.stores.sqlite.database import Database
from pexecutor.stores.sqlite.journal import SqliteJournal

from ..fakes import Doing
from .deliveries import Receivers, target


async def fail(context: Context, task: Task) -> None:
    await trio.lowlevel.checkpoint()
    raise HandlerFailedError("broken", retryable=False)


class Arrivals(Receivers):
    """A receiver that accepts, or stalls, and says when something has arrived."""

    def __init__(self, *, stalls: bool = False) -> None:
        super().__init__(ops=self._take)
        self._stalls = stalls
        self.arrived = trio.Event()
        self.names: list[str] = []

    async def _take(self, one: Delivery) -> SendResult:
        self.names.append(one.notice.name)
        self.arrived.set()
        if self._stalls:
            await trio.sleep(10)
        return DELIVERED


@asynccontextmanager
async def running(path: Path, receiver: Receivers, *targets: Target, **settings: Any) -> AsyncIterator[Executor]:
    """Run an executor on a file, and stop it hard at the end."""
    store = LocalStore(journal=SqliteJournal(Database(path)))
    handlers = Catalogue({"sleep": Doing(fail)})
    named = {one.name: one for one in targets}
    executor = Executor(store, handlers=handlers, targets=named, open_sender=receiver.opened, **settings)
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            await nursery.start(executor.run)
            yield executor
            executor.hard_stop()


async def test_a_notification_that_was_under_way_is_sent_after_a_restart(tmp_path: Path) -> None:
    before, after = Arrivals(stalls=True), Arrivals()
    async with running(tmp_path / "db", before, target()) as executor:
        await executor.submit([Task("bad")])
        await before.arrived.wait()
    async with running(tmp_path / "db", after, target()):
        await after.arrived.wait()
    assert before.names == after.names == ["bad"]


async def test_a_notification_of_a_target_that_comes_back_is_sent(tmp_path: Path) -> None:
    nobody, after = Receivers(), Arrivals()
    async with running(tmp_path / "db", Arrivals(stalls=True), target(), target("other")) as executor:
        [verdict] = await executor.submit([Task("bad")])
        await executor.wait(verdict.record.id)  # type: ignore[union-attr]
    async with running(tmp_path / "db", nobody) as executor:
        assert executor.statistics().store.deliveries == 2
    async with running(tmp_path / "db", after, target()):
        await after.arrived.wait()
    assert not nobody.attempts


async def test_the_targets_of_a_task_are_those_of_its_acceptance(tmp_path: Path) -> None:
    after = Arrivals()
    async with running(tmp_path / "db", Receivers(), target()) as executor:
        await executor.submit([Task("bad", delay=60_000)])
    async with running(tmp_path / "db", after, target(on=frozenset({"succeeded"}))) as executor:
        [record] = (await executor.page(PageRequest())).records
        await executor.change_waiting(record.id, due_at=0.0)
        await after.arrived.wait()
    assert after.names == ["bad"]
