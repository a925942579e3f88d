"""A queue on a server and one in memory: whatever is asked of them, they come to the same."""

from __future__ import annotations

from typing import Any

import msgspec
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from pexecutor import Ending, LocalStore, Outcome, PageRequest, Record, Running, State, Task
from pexecutor.errors import PexecutorError
from pexecutor.stores import Store, Watcher
from pexecutor.stores.find import Filter
from pexecutor.stores.valkey import ValkeyStore

from ...conftest import virtual_now
from .fake import FakeValkey
from .links import SureLink

Tasks = st.lists(
    st.builds(
        Task,
        name=st.sampled_from("abcd"),
        duration=st.integers(0, 3),
        priority=st.integers(-1, 1),
        delay=st.sampled_from([0, 0, 0, 500, 5000]),
        retries=st.integers(0, 1),
        retry_delay=st.just(0),
        on_conflict=st.sampled_from(["reject", "reject", "join", "latest", "supersede"]),
        keep=st.sampled_from([None, None, 0, 2000]),
        tags=st.sampled_from([(), ("x",), ("y", "x")]),
    ),
    min_size=1,
    max_size=4,
)
Which = st.integers(0, 30)
Filters = st.builds(
    Filter,
    state=st.sampled_from([None, None, *State]),
    name=st.sampled_from([None, None, *"abcd"]),
    outcome=st.sampled_from([None, None, None, *Outcome]),
    handler=st.sampled_from([None, None, "sleep", "http"]),
    tags=st.sampled_from([(), (), ("x",), ("x", "y")]),
    name_prefix=st.sampled_from([None, None, "a"]),
    error=st.sampled_from([None, None, None, "", "s", "su"]),
)
Step = st.one_of(
    st.tuples(st.just("submit"), Tasks, st.booleans()),
    st.tuples(st.just("claim"), st.integers(1, 3)),
    st.tuples(st.just("finish"), st.sampled_from(["succeeded", "failed", "cancelled"])),
    st.tuples(st.just("release")),
    st.tuples(st.just("cancel"), Which),
    st.tuples(
        st.just("change_waiting"),
        Which,
        st.sampled_from([None, -1, 0, 1]),
        st.sampled_from([None, -5.0, 0.2, 2.1]),
    ),
    st.tuples(st.just("get"), Which),
    st.tuples(st.just("page"), Filters, st.integers(1, 4)),
    st.tuples(st.just("cancel_many"), st.lists(Which, max_size=5)),
    st.tuples(st.just("change_many"), st.lists(Which, max_size=5), st.integers(-1, 1)),
    st.tuples(st.just("pass"), st.sampled_from([0.25, 1.0, 6.0])),
)


class Driver:
    """Asks a store, and writes down what it says."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._running: list[Running] = []
        self._cancelled: set[int] = set()
        self._ids: list[str] = []
        self.said: list[Any] = []
        store.watch(Watcher(lambda records: self.said.extend(("told", shown(record)) for record in records)))

    async def do(self, verb: str, *arguments: Any) -> None:
        try:
            answer = await getattr(self, verb)(*arguments)
        except PexecutorError as error:
            answer = type(error).__name__
        self.said.append((verb, answer))

    async def submit(self, tasks: list[Task], atomic: bool) -> Any:
        verdicts = await self._store.submit(tasks, atomic=atomic)
        self._ids += [verdict.record.id for verdict in verdicts if verdict.verdict == "accepted"]
        return [shown(verdict) for verdict in verdicts]

    async def claim(self, limit: int) -> Any:
        if not self._store.statistics().pending:
            return []
        claimed = await self._store.claim(limit)
        self._running += claimed
        return [shown(record) for record in claimed]

    async def finish(self, outcome: str) -> Any:
        ended = [(running, Ending(Outcome(outcome), "so")) for running in self._running]
        self._running = []
        return [shown(record) for record in await self._store.finish(ended)] if ended else []

    async def release(self) -> Any:
        """Only a shared store knows at a release that the task was cancelled; so those are kept."""
        released = [running for running in self._running if running.serial not in self._cancelled]
        self._running = [running for running in self._running if running.serial in self._cancelled]
        await self._store.release(released)

    async def cancel(self, which: int) -> Any:
        record = await self._store.cancel(self._id(which))
        self._cancelled.add(record.serial)
        return shown(record)

    async def change_waiting(self, which: int, priority: int | None, seconds: float | None) -> Any:
        due_at = None if seconds is None else virtual_now() + seconds
        return shown(await self._store.change_waiting(self._id(which), priority=priority, due_at=due_at))

    async def get(self, which: int) -> Any:
        return shown(await self._store.get(self._id(which)))

    async def cancel_many(self, which: list[int]) -> Any:
        records = await self._store.cancel_many([self._id(one) for one in which])
        self._cancelled.update(record.serial for record in records if record is not None)
        return [record and shown(record) for record in records]

    async def change_many(self, which: list[int], priority: int) -> Any:
        records = await self._store.change_many([self._id(one) for one in which], priority=priority)
        return [record and shown(record) for record in records]

    async def page(self, wanted: Filter, limit: int) -> Any:
        records: list[Any] = []
        cursor = None
        while True:
            page = await self._store.page(PageRequest(**msgspec.structs.asdict(wanted), limit=limit, cursor=cursor))
            assert len(page.records) <= limit
            records += [shown(record) for record in page.records]
            if (cursor := page.next_cursor) is None:
                return records

    def _id(self, which: int) -> str:
        return self._ids[which % len(self._ids)] if self._ids and which < 28 else f"000001-{which}"

    async def counts(self) -> Any:
        await self._store.page(PageRequest())
        now = self._store.statistics()
        return (now.pending, now.scheduled, now.running, now.finished)


def shown(value: Any) -> Any:
    """A record or a verdict without what differs between stores."""
    if isinstance(value, Record):
        fields = {name: getattr(value, name) for name in value.__struct_fields__ if name != "token"}
        attempts = [(attempt.outcome, round(attempt.started_at, 3), attempt.error) for attempt in value.attempts]
        times = {name: round(at, 3) for name, at in fields.items() if name.endswith("_at")}
        run_at = None if value.task.run_at is None else round(value.task.run_at.timestamp(), 2)
        task = msgspec.structs.replace(value.task, run_at=None)
        return (type(value).__name__, fields | times | {"attempts": attempts, "task": task, "run_at": run_at})
    if isinstance(value, msgspec.Struct):
        return (type(value).__name__, [shown(getattr(value, name)) for name in value.__struct_fields__])
    return value


async def both(steps: list[tuple[Any, ...]]) -> None:
    local: Store = LocalStore(queue_size=4, tag=1, now=virtual_now, history_records_max=5)
    server = FakeValkey(virtual_now)
    server._hset("pexecutor:{test}:head", "tag", "1")
    shared = ValkeyStore(SureLink(server), node="n", queue_size=4, history_records_max=5)
    async with shared.opened():
        await trio.sleep(0.01)
        drivers = [Driver(local), Driver(shared)]
        for verb, *arguments in steps:
            if verb == "pass":
                await trio.sleep(arguments[0])
            for driver in drivers:
                if verb != "pass":
                    await driver.do(verb, *arguments)
                driver.said.append(await driver.counts())
            for local_said, shared_said in zip(drivers[0].said, drivers[1].said, strict=True):
                assert shared_said == local_said
            for driver in drivers:
                driver.said.clear()
            assert shared.statistics().damaged == 0


@settings(deadline=None, max_examples=150)
@given(st.lists(Step, min_size=5, max_size=40))
def test_a_shared_store_says_what_a_local_one_says(steps: list[tuple[Any, ...]]) -> None:
    trio.run(both, steps, clock=MockClock(autojump_threshold=0))
