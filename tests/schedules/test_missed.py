"""A nightly occurrence that no server was there for, and a table that is loaded again while its task runs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from pexecutor import Executor, LocalStore, PageRequest, Task
from pexecutor.config import Config
from pexecutor.handlers import Catalogue, Context
from pexecutor.log import log_skip
from pexecutor.observe.events import OccurrenceSkipped
from pexecutor.schedules.tables import DeclaredSchedules, load_tables
from pexecutor.stores import Store
from pexecutor.stores.valkey import ValkeyStore
from pexecutor.web import create_app

from ..conftest import virtual_now
from ..fakes import Doing
from ..stores.valkey.fake import FakeValkey
from ..stores.valkey.links import SureLink

EVENING: Final = datetime(2027, 1, 15, 22, 0, tzinfo=UTC).timestamp()
HOUR: Final = 3600.0
MINUTE: Final = 60.0
THREE: Final = "2027-01-16T03:00:00.000Z"
NIGHTLY: Final = {"cron": "0 3 * * *", "task": {"name": "dump"}}


def night() -> float:
    """A wall clock that shows 22:00 at the beginning."""
    return EVENING + trio.current_time()


class Work:
    """A handler that counts its runs."""

    def __init__(self, seconds: float) -> None:
        self.started: list[float] = []
        self._seconds = seconds

    async def run(self, _: Context, __: Task) -> None:
        self.started.append(trio.current_time())
        await trio.sleep(self._seconds)


def make(store: Store, work: Work, table: dict[str, Any], *, shared: bool = False) -> Executor:
    handlers = Catalogue({"sleep": Doing(work.run)})
    declared = load_tables({"nightly": table}, handlers.check, EVENING)
    return Executor(
        store, handlers=handlers, declared=DeclaredSchedules(declared, shared=shared), on_skip=log_skip, pool_size=2
    )


async def stop(executor: Executor) -> None:
    executor.drain()
    await executor.stopped.wait()


async def shown(executor: Executor) -> Any:
    """What ``GET /schedules/nightly`` shows of the occurrences."""
    reply = await create_app(executor, Config()).test_client().get("/schedules/nightly")
    return (await reply.get_json())["occurrences"]


async def down_from_ten_to_three_till_twenty_past(
    nursery: trio.Nursery, store: LocalStore, work: Work, table: dict[str, Any]
) -> Executor:
    before = make(store, work, table)
    await nursery.start(before.run)
    await trio.sleep(4 * HOUR + 50 * MINUTE)
    await stop(before)
    await trio.sleep(30 * MINUTE)
    return make(store, work, table)


async def test_a_missed_night_is_made_up_for_once(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    store, work = LocalStore(now=night), Work(MINUTE)
    executor = await down_from_ten_to_three_till_twenty_past(nursery, store, work, NIGHTLY)
    await nursery.start(executor.run)
    await trio.sleep(HOUR)

    assert [round(at) for at in work.started] == [5 * HOUR + 20 * MINUTE]
    [record] = (await store.page(PageRequest())).records
    assert await shown(executor) == [{"at": THREE, "task_id": record.id}]
    nursery.cancel_scope.cancel()


async def test_a_missed_night_that_is_too_late_is_skipped_and_everyone_says_why(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    store, work = LocalStore(now=night), Work(MINUTE)
    table = {**NIGHTLY, "late_max": 600_000}
    executor = await down_from_ten_to_three_till_twenty_past(nursery, store, work, table)
    with executor.events.reading() as reader, capture_logs() as logs:
        await nursery.start(executor.run)
        await trio.sleep(HOUR)
        events = [event.what for event in reader.receive_nowait(1000) if isinstance(event.what, OccurrenceSkipped)]

    assert work.started == []
    at = datetime.fromisoformat(THREE).timestamp()
    assert events == [OccurrenceSkipped("nightly", at, "late")]
    facts = {"event": "skipped", "log_level": "warning", "schedule": "nightly", "reason": "late"}
    assert [line for line in logs if line["event"] == "skipped"] == [{**facts, "scheduled_for": THREE}]
    assert await shown(executor) == [{"at": THREE, "skipped": "late", "last_at": THREE, "count": 1}]
    nursery.cancel_scope.cancel()


LONG: Final = {"every": 600_000, "task": {"name": "long"}}


async def test_a_restart_during_a_run_adds_none(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    store, work = LocalStore(now=night), Work(5 * MINUTE)
    executor = make(store, work, LONG)
    await nursery.start(executor.run)
    await trio.sleep(11 * MINUTE)
    await stop(executor)  # hands the task back after 30 seconds
    executor = make(store, work, LONG)
    await nursery.start(executor.run)
    await trio.sleep(6 * MINUTE)

    assert len(work.started) == 2, "the run that the stop cut off, and its repetition"
    [record] = (await store.page(PageRequest())).records
    assert record.state == "finished"
    assert len(await shown(executor)) == 1
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("nodes", [2, 3])
async def test_another_node_with_an_equal_table_adds_no_run(
    autojump_clock: MockClock, nursery: trio.Nursery, nodes: int
) -> None:
    server, work = FakeValkey(virtual_now), Work(5 * MINUTE)

    async def start(name: str) -> Executor:
        executor = make(ValkeyStore(SureLink(server), node=name), work, LONG, shared=True)
        await nursery.start(executor.run)
        return executor

    executor = await start("first")
    await trio.sleep(10 * MINUTE + 20)
    assert len(work.started) == 1
    for number in range(1, nodes):
        await start(f"n{number}")
        await trio.sleep(30)
    await trio.sleep(4 * MINUTE)

    assert len(work.started) == 1
    assert len(await shown(executor)) == 1
    nursery.cancel_scope.cancel()
