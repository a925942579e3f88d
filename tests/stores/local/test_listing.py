"""Pages with criteria: they examine a bounded number of records, and enter an order at any place."""

from __future__ import annotations

import pytest

from pexecutor import Ending, LocalStore, Outcome, PageRequest, State, Task
from pexecutor.limits.keys import LimitKey
from pexecutor.stores import Watcher
from pexecutor.stores.local import listing

DONE = Ending(Outcome.SUCCEEDED)


@pytest.fixture
def examined_max(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(listing, "EXAMINED_RECORDS_MAX", 10)
    return 10


async def pages(store: LocalStore, request: PageRequest) -> list[list[str]]:
    """Return the names of each page of a listing."""
    found: list[list[str]] = []
    cursor: str | None = None
    while True:
        page = await store.page(
            PageRequest(**{name: getattr(request, name) for name in request.__struct_fields__} | {"cursor": cursor})
        )
        found.append([record.task.name for record in page.records])
        if (cursor := page.next_cursor) is None:
            return found


async def test_a_page_that_is_cut_continues_behind_the_last_examined_record(examined_max: int) -> None:
    store = LocalStore()
    await store.submit([Task(f"{'x' if number in (3, 24) else 'y'}-{number}") for number in range(35)])
    assert await pages(store, PageRequest(name_prefix="x")) == [["x-3"], [], ["x-24"], []]


async def test_a_full_page_looks_for_one_more_match(examined_max: int) -> None:
    store = LocalStore()
    await store.submit([Task(name) for name in ["x-1", "y-1", "x-2", "y-2", "x-3", "y-3"]])
    assert await pages(store, PageRequest(name_prefix="x", limit=2)) == [["x-1", "x-2"], ["x-3"]]
    assert await pages(store, PageRequest(name_prefix="x", limit=3)) == [["x-1", "x-2", "x-3"]]


async def test_the_bound_holds_for_all_states_together(examined_max: int) -> None:
    store = LocalStore()
    await store.submit([Task(f"ended-{number}") for number in range(6)])
    await store.finish([(running, DONE) for running in await store.claim(6)])
    await store.submit([Task(f"waits-{number}") for number in range(6)])
    await store.submit([Task(f"later-{number}", delay=60_000) for number in range(6)])
    assert await pages(store, PageRequest(tags=("none",))) == [[], []]
    assert await pages(store, PageRequest(name_prefix="ended")) == [
        [],
        [f"ended-{number}" for number in range(6)][::-1],
    ]


async def test_a_name_is_found_at_once_while_it_is_in_flight(examined_max: int) -> None:
    store = LocalStore()
    await store.submit([Task(f"task-{number}") for number in range(50)])
    assert await pages(store, PageRequest(name="task-49")) == [["task-49"]]


async def test_the_pending_tasks_of_a_handler_are_found_at_once(examined_max: int) -> None:
    store = LocalStore()
    store.watch(Watcher(limit_keys=lambda task: (LimitKey("tag", "k"),) if "k" in task.tags else ()))
    await store.submit([Task(f"task-{number}") for number in range(50)])
    await store.submit([Task("a", handler="rare"), Task("b", handler="rare", tags=("k",), priority=1)])
    assert await pages(store, PageRequest(State.PENDING, handler="rare", limit=1)) == [["b"], ["a"]]


async def test_a_listing_of_what_cannot_exist_is_empty() -> None:
    store = LocalStore()
    await store.submit([Task("a")])
    assert await pages(store, PageRequest(State.PENDING, outcome=Outcome.FAILED)) == [[]]


async def test_tasks_that_were_accepted_later_are_left_out() -> None:
    store = LocalStore()
    assert (await store.page(PageRequest())).serial_last == 0
    await store.submit([Task("a"), Task("b", delay=60_000)])
    last = (await store.page(PageRequest(limit=1))).serial_last
    await store.submit([Task("c"), Task("d", delay=60_000)])
    assert await pages(store, PageRequest(serial_max=last)) == [["b", "a"]]
