"""A node stops after it has fired or skipped an occurrence: the slower node handles the next occurrences on time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import trio
from trio.testing import MockClock

from pexecutor import Executor, PageRequest, Task
from pexecutor.handlers import Catalogue, Context
from pexecutor.schedules.changes import declare
from pexecutor.stores.schedules import Definition, Skipped
from pexecutor.stores.valkey import ValkeyStore

from ..conftest import EPOCH, virtual_now
from ..fakes import Doing
from ..stores.valkey.fake import FakeValkey
from ..stores.valkey.links import SureLink

TIMES: Final = 10
"""One before the stop of a node, and nine after it."""


async def do_nothing(_: Context, __: Task) -> None:
    await trio.lowlevel.checkpoint()


def steps(node: Executor) -> int:
    """Return how many occurrences a node has fired or skipped."""
    return node.clock.fired + node.clock.skipped.total()


async def race(nursery: trio.Nursery, *, paused: bool) -> ValkeyStore:
    """Let two nodes race for an occurrence, and stop the faster one; return the store of the other 9 seconds later."""
    server = FakeValkey(virtual_now)
    stores = [ValkeyStore(SureLink(server), node=name) for name in ("first", "second")]
    nodes = [Executor(store, handlers=Catalogue({"sleep": Doing(do_nothing)})) for store in stores]
    await nursery.start(nodes[0].run)
    definition = Definition(Task("report"), every=1000, start_at=datetime.fromtimestamp(EPOCH + 3, UTC))
    await declare(stores[0].schedules, "s", definition, paused=paused)
    await nursery.start(nodes[1].run)
    await trio.sleep(3.25)
    slower, faster = sorted(nodes, key=steps)
    assert (steps(slower), steps(faster)) == (0, 1)
    faster.drain()
    await trio.sleep(9)
    return stores[nodes.index(slower)]


async def test_the_slower_node_fires_the_next_times(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    store = await race(nursery, paused=False)
    records = (await store.page(PageRequest())).records
    assert len(records) == TIMES
    assert max((record.submitted_at - EPOCH) % 1 for record in records) < 0.1
    nursery.cancel_scope.cancel()


async def test_the_slower_node_skips_the_next_times(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    store = await race(nursery, paused=True)
    [skipped] = (await store.schedules.get("s")).occurrences
    assert isinstance(skipped, Skipped)
    assert skipped.count == TIMES
    nursery.cancel_scope.cancel()
