"""A schedule that has fired can be changed."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from pexecutor import Executor, Task
from pexecutor.schedules.changes import declare, pause
from pexecutor.stores.schedules import Definition
from pexecutor.stores.valkey import ValkeyStore

from ...conftest import virtual_now
from .fake import FakeValkey
from .links import SureLink


async def test_a_schedule_that_has_fired_can_be_paused(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    ex = Executor(ValkeyStore(SureLink(FakeValkey(virtual_now)), node="n"))
    await nursery.start(ex.run)
    await declare(ex.clock.schedules, "s", Definition(Task("a", duration=2500), every=1000), owner="file")
    for i in range(12):
        await trio.sleep(1.3)
        s = await pause(ex.clock.schedules, "s", i % 2 == 0)
        assert s.paused == (i % 2 == 0)
    nursery.cancel_scope.cancel()
