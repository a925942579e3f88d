"""The claims of a local store under limits and pauses, compared with a plain scan of all pending tasks."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from pexecutor import (
    Ending,
    Finished,
    LocalStore,
    Outcome,
    PageRequest,
    Pending,
    Record,
    Running,
    StoreUnavailableError,
    Task,
)
from pexecutor.limits.keys import LimitKey
from pexecutor.stores import NodeState, Watcher
from pexecutor.stores.limits import (
    LANES_A_STEP_MAX,
    Ahead,
    Due,
    LimitNumbers,
    NodeDraining,
    NoSuchHandler,
    PoolBusy,
    StoreTrouble,
    TaskPause,
    handler_key,
    keys_of,
)
from pexecutor.stores.local.book import Book
from pexecutor.stores.local.history import HistoryBounds
from pexecutor.stores.local.submission import end, start
from pexecutor.task import Rare, wait_again

from ...fakes import FakeJournal

NOW = 1_800_000_000.0
DONE = Ending(Outcome.SUCCEEDED)
KEYS = [LimitKey("api", "a"), LimitKey("api", "b"), LimitKey("db"), LimitKey("free", "x")]


def new_book() -> Book:
    bounds = HistoryBounds(4, 60)
    return Book(successes=bounds, others=bounds, history_bytes_max=1000, forget=lambda _: None)


def pending(serial: int, handler: str, priority: int, keys: Sequence[LimitKey]) -> Pending:
    rare = Rare(limit_keys=tuple(sorted(keys))) if keys else None
    return Pending(serial, Task(f"task-{serial}", handler=handler, priority=priority), NOW, (), rare=rare)


def scanned(book: Book, number: int, but: Callable[[Pending], bool] = lambda _: True) -> list[Pending]:
    """The tasks that a claim should start, found by looking at each."""
    chosen: list[Pending] = []
    in_use = Counter(key for record in book.running.values() for key in keys_of(record))
    numbers, gate = book.slots.numbers, book.gate
    for record in book.pending:
        handler = record.task.handler
        paused = None in gate.pauses or handler in gate.pauses
        full = any((of := numbers.of(key)) is not None and in_use[key] >= of for key in keys_of(record))
        if not (paused or full or not gate.knows(handler)) and but(record) and len(chosen) < number:
            chosen.append(record)
            in_use.update(keys_of(record))
    return chosen


def look(book: Book) -> None:
    """The index of slots says what the running records say."""
    running: dict[LimitKey, set[int]] = {}
    for record in book.running.values():
        for key in keys_of(record):
            if key.limit or key.value in book.slots.numbers.handlers:
                running.setdefault(key, set()).add(record.serial)
    assert {key: set(users) for key, users in book.slots._users.items()} == running


Steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("add"),
            st.sampled_from("xy"),
            st.integers(-1, 1),
            st.lists(st.sampled_from(KEYS), unique=True, max_size=3),
        ),
        st.tuples(st.just("claim"), st.integers(1, 4)),
        st.tuples(st.sampled_from(["end", "release", "cancel", "move"]), st.integers(0, 20)),
        st.tuples(
            st.just("numbers"),
            st.fixed_dictionaries({}, optional={"api": st.integers(1, 2), "db": st.integers(1, 3)}),
            st.fixed_dictionaries({}, optional={"x": st.integers(1, 3), "y": st.integers(1, 2)}),
        ),
        st.tuples(st.just("pause"), st.lists(st.sampled_from(["x", "y", None]), unique=True)),
        st.tuples(st.just("know"), st.sampled_from([None, frozenset("x"), frozenset("xy")])),
    ),
    max_size=60,
)


@given(Steps)
def test_a_claim_starts_what_a_scan_of_all_tasks_finds(steps: list[tuple[Any, ...]]) -> None:
    book = new_book()
    for serial, (step, *details) in enumerate(steps, 1):
        with book.registry.locked_nowait([f"task-{number}" for number in range(300)]):
            apply(book, serial, step, details)
        look(book)
        for number in (1, 3):
            assert book.pending.first(number) == scanned(book, number), (step, details)
        odd = scanned(book, 3, lambda record: bool(record.serial % 2))
        assert book.pending.first(3, lambda record: bool(record.serial % 2)) == odd


def apply(book: Book, serial: int, step: str, details: list[Any]) -> None:
    running, waiting = [*book.running.values()], [*book.pending]
    match step, *details:
        case "add", handler, priority, keys:
            book.put([pending(serial, handler, priority, keys)])
        case "claim", number:
            book.start([start(record, NOW) for record in book.pending.first(number)])
        case "end", place if running:
            book.end([ended(running[place % len(running)])])
        case "release", place if running:
            book.put([wait_again(running[place % len(running)])])
        case "cancel", place if waiting:
            book.put([ended(waiting[place % len(waiting)])])
        case "move", place if waiting:
            old = waiting[place % len(waiting)]
            book.put([pending(old.serial, old.task.handler, place % 3 - 1, [KEYS[place % 4]])])
        case "numbers", limits, handlers:
            book.slots.set_numbers(LimitNumbers(limits, handlers), book.running.values())
            book.gate.set(book.gate.pauses, book.gate.known)
        case "pause", handlers:
            book.gate.set({handler: TaskPause(handler, NOW, "test") for handler in handlers}, book.gate.known)
        case "know", known:
            book.gate.set(book.gate.pauses, known)


def ended(record: Record) -> Finished:
    return end(record, DONE, NOW)  # type: ignore[arg-type]


async def limited(
    numbers: dict[str, int] | None = None, handlers: dict[str, int | None] | None = None, **settings: Any
) -> LocalStore:
    """A store whose tasks have the limit keys that their params name."""
    store = LocalStore(queue_size=10**6, now=lambda: NOW, tag=1, **settings)
    store.watch(Watcher(limit_keys=lambda task: tuple(LimitKey(*key) for key in sorted(task.params.items()))))
    await store.limits.set_numbers(numbers or {}, handlers or {})
    return store


class Counted:
    """Counts the instructions of Python that run within a context."""

    def __init__(self) -> None:
        self.instructions = 0

    def __enter__(self) -> Counted:
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _trace(self, frame: FrameType, event: str, _: Any) -> Any:
        frame.f_trace_opcodes = True
        self.instructions += event == "opcode"
        return self._trace


async def cost_of_claims(blocked: int, lanes: int) -> int:
    """The instructions of a claim, of the end that frees a slot, and of the claim that then follows."""
    store = await limited({"api": 1})
    async with store.opened():
        await store.submit([Task(f"first-{lane}", params={"api": f"{lane}"}) for lane in range(lanes)])
        await store.claim(lanes)
        for first in range(0, blocked, 1000):
            await store.submit([Task(f"{first + n}", params={"api": f"{n % lanes}"}) for n in range(1000)])
        await store.submit([Task("free", params={"api": "free"})])
        with Counted() as counted:
            [free] = store.claim_nowait(1)
            store.finish_nowait([(free, DONE)])
            assert store.claim_nowait(1) == []
        assert free.task.name == "free"
        return counted.instructions


@pytest.mark.parametrize("lanes", [1, 100])
async def test_a_claim_costs_no_more_because_many_tasks_are_blocked(lanes: int) -> None:
    assert await cost_of_claims(20_000, lanes) <= await cost_of_claims(1000, lanes)


async def test_a_pause_costs_no_more_because_many_tasks_wait() -> None:
    costs = []
    for waiting in (2000, 20_000):
        store = await limited()
        for first in range(0, waiting, 1000):
            params = {"api": "x"} if first % 2000 else {}
            await store.submit([Task(f"{first + n}", params=params) for n in range(1000)])
        with Counted() as counted:
            await store.limits.pause("sleep", "test")
            assert store.claim_nowait(1) == []
            await store.limits.resume("sleep")
            assert len(store.claim_nowait(1)) == 1
        costs.append(counted.instructions)
    assert costs[1] <= costs[0] * 1.1


async def test_a_claim_looks_in_vain_at_few_lanes_and_the_next_one_goes_on() -> None:
    store = await limited({"one": 3})
    lanes = 3 * LANES_A_STEP_MAX
    await store.submit([Task(f"{n}", params={"one": "", "user": f"{n}"}) for n in range(lanes)])
    assert [record.task.name for record in store.claim_nowait(3)] == ["0", "1", "2"]
    await store.submit([Task("free", params={"free": ""})])
    assert store.claim_nowait(1) == []
    assert store._book.pending.is_cut
    with trio.fail_after(1):
        [free] = await store.claim(1)
    assert free.task.name == "free"
    with Counted() as counted:
        assert store.claim_nowait(1) == []
    assert counted.instructions < 1000, "the lanes that were looked at are not looked at again"


async def test_concurrent_durable_starts_do_not_exceed_a_limit() -> None:
    journal = FakeJournal(awaits=5)
    store = await limited({"api": 2}, {"sleep": 4}, journal=journal)
    async with store.opened():
        await store.submit([Task(f"{n}", params={"api": "x"} if n % 2 else {}) for n in range(12)])
        most = dict.fromkeys(("api", "sleep"), 0)

        def note(_: int) -> None:
            counts = store._book.slots.counts()
            most["api"] = max(most["api"], counts.get(LimitKey("api", "x"), 0))
            most["sleep"] = max(most["sleep"], counts.get(handler_key("sleep"), 0))

        journal.on_write = note
        started: list[Running] = []
        all_started = trio.Event()
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(_work, store, started, all_started)
            with trio.fail_after(10):
                await all_started.wait()
            nursery.cancel_scope.cancel()
        assert 0 < most["api"] <= 2
        assert 0 < most["sleep"] <= 4
        assert not store._book.slots._reserved


async def _work(store: LocalStore, started: list[Running], all_started: trio.Event) -> None:
    while True:
        claimed = await store.claim(3)
        started += claimed
        if len(started) == 12:
            all_started.set()
        await store.finish([(running, DONE) for running in claimed])


async def test_a_failed_start_gives_its_slots_back() -> None:
    journal = FakeJournal()
    store = await limited({"api": 1}, journal=journal)
    async with store.opened():
        await store.submit([Task("a", params={"api": "x"})])
        journal.fails_at = {journal.writes + 1}
        with pytest.raises(StoreUnavailableError):
            await store.claim(1)
        assert [record.task.name for record in await store.claim(1)] == ["a"]


async def test_a_task_that_is_paused_while_its_start_waits_for_a_lock_does_not_start() -> None:
    store = await limited(journal=FakeJournal())
    async with store.opened():
        await store.submit([Task("a")])
        claimed: list[Running] = []
        async with trio.open_nursery() as nursery:
            async with store._book.registry.locked(["a"]):
                nursery.start_soon(_claim_into, store, claimed)
                await wait_all_tasks_blocked()
                await store.limits.pause(None, "test")
            await wait_all_tasks_blocked()
            assert claimed == []
            await store.limits.resume(None)
            await wait_all_tasks_blocked()
            assert [record.task.name for record in claimed] == ["a"]


async def _claim_into(store: LocalStore, claimed: list[Running]) -> None:
    claimed += await store.claim(1)


async def test_why_knows_the_node_and_the_store() -> None:
    journal = FakeJournal()
    store = await limited(journal=journal)
    async with store.opened():
        await store.submit([Task("a"), Task("b", handler="other"), Task("c", delay=1000)])
        c, a, b = [record.id for record in (await store.page(PageRequest())).records]
        store.watch(Watcher(describe=lambda: NodeState(2, 2, draining=True), handlers=frozenset({"sleep"})))
        journal.trouble = "the disk is full"
        every = (StoreTrouble("the disk is full"), NodeDraining())
        assert await store.limits.why(a) == (*every, PoolBusy())
        assert await store.limits.why(b) == (*every, NoSuchHandler("other"), Ahead(1, exact=True), PoolBusy())
        assert await store.limits.why(c) == (*every, Due(NOW + 1), PoolBusy())
