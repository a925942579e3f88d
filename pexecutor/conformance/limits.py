"""Limits: how many tasks run at the same time, and which of the others start next."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import msgspec
import trio

from ..errors import TooManyLimitsError
from ..limits.defaults import LIMIT_SETTINGS_MAX
from ..limits.keys import LimitKey
from ..stores import NodeState, Store, Watcher
from ..stores.limits import LimitNumbers, handler_key, keys_of
from ..task import InFlight, Running, State, Task
from .asking import (
    FAILED,
    IDLE_SECONDS,
    LOOK_SECONDS,
    accept,
    end,
    end_for_now,
    listed_names,
    nothing_runs,
    refused,
    start,
    start_nothing,
)
from .guarantee import Need, Place, expect, guarantee

GROUP: Final = "limits"
_BOUND: Final = "at most so many of its slots are in use when a task starts"
_SLOTS: Final = "A running task uses one slot of each of its keys. Nothing else uses a slot"
_NUMBERS: Final = "a higher one lets waiting tasks start, a lower one lets running tasks end"
_ALL: Final = "It takes all slots of a task in the step that starts the task, or none."
_HOLDS_BACK: Final = "holds back no task but those that wait for the same slot"
_KEEPS: Final = "Everything else that changes a record keeps its keys, and so do a restart and a move."
_REFUSES: Final = "``TooManyLimitsError`` and change nothing if there would be more settings than the bound"
_RESTORES: Final = "A durable store restores numbers and pauses before a task starts."
_KNOWS: Final = "A node knows the handlers in ``Watcher.handlers``"

_LATER: Final = msgspec.structs.replace(FAILED, retry_after_seconds=60.0)


def limit_keys(task: Task) -> tuple[LimitKey, ...]:
    """Return the limit keys that the params of a task name, as in ``{"api": "a"}``."""
    return tuple(LimitKey(limit, value) for limit, value in sorted(task.params.items()))


def watch(store: Store, handlers: frozenset[str] | None = None, **state: Any) -> None:
    """Let the params of tasks name their limit keys; the node knows some handlers, and reports a state."""
    store.watch(Watcher(limit_keys=limit_keys, handlers=handlers, describe=lambda: NodeState(**state)))


async def limit(store: Store, limits: dict[str, int], handlers: dict[str, int | None] | None = None) -> None:
    """Let the params of tasks name their limit keys, and set the numbers."""
    watch(store)
    await store.limits.set_numbers(limits, handlers or {})


async def fill(store: Store, *names: str, retries: int = 0, **keys: str) -> list[InFlight]:
    """Submit tasks with limit keys, all of which have to be accepted."""
    return await accept(store, *(Task(name, params=keys, retries=retries) for name in names))


async def starts(store: Store, *names: str) -> list[Running]:
    """Check that exactly these tasks start, in this order; return them."""
    started = await start(store, len(names))
    found = [record.task.name for record in started]
    expect(found == [*names], f"{[*names]} should have started, but {found} did")
    await start_nothing(store, "its slots are in use")
    return started


async def next_starts(store: Store, name: str, act: Callable[[], Awaitable[object]]) -> Running:
    """Check that a waiting claim returns this task once something is done."""
    started: list[Running] = []

    async def claim() -> None:
        started.extend(await start(store))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(claim)
        await trio.sleep(0.05)
        expect(not started, f"{name!r} was started too early")
        await act()
    found = [record.task.name for record in started]
    expect(found == [name], f"{name!r} should have started, but {found} did")
    return started[0]


async def expect_slots(store: Store, slots: dict[LimitKey, int]) -> None:
    """Check how many slots are in use."""
    found = (await store.limits.state()).slots
    expect(found == slots, f"the slots in use should be {slots}, but are {found}")


@guarantee(
    GROUP,
    "No more tasks of a limit key, or of a handler, run at once than its number, also with many claims at once.",
    promise=_BOUND,
)
async def no_limit_is_exceeded(place: Place) -> None:
    async with place.open() as store:
        await limit(store, {"api": 2}, {"other": 1})
        await fill(store, *(f"a{number}" for number in range(4)), api="a")
        await fill(store, *(f"b{number}" for number in range(3)), api="b")
        await accept(store, *(Task(f"o{number}", handler="other") for number in range(3)))
        claims: list[Running] = []
        async with trio.open_nursery() as nursery:
            for _ in range(6):
                nursery.start_soon(_claim_into, store, claims)
            await trio.sleep(4 * IDLE_SECONDS)
            nursery.cancel_scope.cancel()
        found = sorted(record.task.name for record in claims)
        expect(found == ["a0", "a1", "b0", "b1", "o0"], f"the tasks that started are {found}")
        await expect_slots(store, {LimitKey("api", "a"): 2, LimitKey("api", "b"): 2, handler_key("other"): 1})


async def _claim_into(store: Store, claims: list[Running]) -> None:
    while True:
        claims += await store.claim(2)
        await trio.sleep(LOOK_SECONDS)


@guarantee(GROUP, "Every end of an attempt frees its slots, and wakes a claim that waits.", promise=_SLOTS)
async def slots_are_freed(place: Place) -> None:
    async with place.open() as store:
        await limit(store, {"api": 1})
        await fill(store, "a", "b", "c", "d", "e", retries=1, api="")
        [first] = await starts(store, "a")
        second = await next_starts(store, "b", partial(end, store, first))
        third = await next_starts(store, "c", partial(end_for_now, store, second, _LATER))
        again = await next_starts(store, "c", partial(store.release, [third]))
        final = msgspec.structs.replace(FAILED, retryable=False)
        fourth = await next_starts(store, "d", partial(end, store, again, final))
        await expect_slots(store, {LimitKey("api"): 1})
        await next_starts(store, "e", partial(end, store, fourth))


@guarantee(
    GROUP,
    "Of the tasks with equal limit keys, the higher priority starts first, then the one accepted first.",
    promise="Of the tasks with equal keys and priority, the one that was accepted first starts first.",
)
async def lanes_are_in_order(place: Place) -> None:
    async with place.open() as store:
        await limit(store, {"api": 1, "db": 1})
        await fill(store, "a", "b", api="x")
        await fill(store, "c", api="x", db="y")
        await accept(store, Task("d", params={"api": "x"}), Task("first", params={"api": "x"}, priority=1))
        [running] = await starts(store, "first")
        for name in ("a", "b", "c", "d"):
            running = await next_starts(store, name, partial(end, store, running))


@guarantee(
    GROUP,
    "A blocked task keeps its place among the pending tasks, and holds back no task with other keys.",
    promise=_HOLDS_BACK,
)
async def blocked_tasks_hold_back_no_other(place: Place) -> None:
    async with place.open() as store:
        await limit(store, {"api": 1}, {"other": 1})
        await fill(store, *(f"x{number}" for number in range(100)), api="x")
        await accept(store, *(Task(f"o{number}", handler="other") for number in range(100)))
        await fill(store, "y", api="y")
        await accept(store, Task("plain"))
        expect([record.task.name for record in await start(store, 4)] == ["x0", "o0", "y", "plain"], "a task was held")
        await start_nothing(store, "all others are blocked")
        wanted = [f"{kind}{number}" for kind in "xo" for number in range(1, 100)]
        expect(await listed_names(store, State.PENDING) == wanted, "blocked tasks are not listed in start order")


@guarantee(GROUP, "A task with several limit keys takes a slot of each, or none.", promise=_ALL)
async def all_slots_or_none(place: Place) -> None:
    async with place.open() as store:
        await limit(store, {"api": 1, "db": 2}, {"sleep": 3})
        await fill(store, "both", api="", db="")
        await fill(store, "api", api="")
        await fill(store, "db", "db2", db="")
        both, _ = await starts(store, "both", "db")
        await expect_slots(store, {LimitKey("api"): 1, LimitKey("db"): 2, handler_key("sleep"): 2})
        await end(store, both)
        await starts(store, "api", "db2")
        await expect_slots(store, {LimitKey("api"): 1, LimitKey("db"): 2, handler_key("sleep"): 3})


@guarantee(
    GROUP,
    "A store keeps a bounded number of limits and pauses; a change that is refused changes nothing.",
    promise=_REFUSES,
)
async def settings_are_bounded(place: Place) -> None:
    async with place.open() as store:
        every = {f"limit-{number}": 1 for number in range(LIMIT_SETTINGS_MAX)}
        with refused(TooManyLimitsError, "setting one number more than a store keeps"):
            await store.limits.set_numbers(every, {"other": 1})
        expect((await store.limits.state()).numbers == LimitNumbers(), "numbers that were refused are kept")
        await store.limits.set_numbers(every, {})
        with refused(TooManyLimitsError, "one number more than a store keeps"):
            await store.limits.set_numbers(every, {"other": 1})
        with refused(TooManyLimitsError, "one pause more than a store keeps"):
            await store.limits.pause("other", "me")
        state = await store.limits.state()
        expect((state.numbers, state.pauses) == (LimitNumbers(every), ()), "a refused change has changed something")
        every.popitem()
        await store.limits.set_numbers(every, {"other": 1})
        await store.limits.set_numbers({}, {})
        await store.limits.pause("other", "me")


@guarantee(GROUP, "A higher number lets tasks start, and a lower one lets running tasks end.", promise=_NUMBERS)
async def numbers_change(place: Place) -> None:
    async with place.open() as store:
        await limit(store, {"api": 1}, {"sleep": 5, "other": 1})
        await fill(store, "a", "b", "c", "d", "e", api="")
        [a] = await starts(store, "a")
        b = await next_starts(store, "b", partial(store.limits.set_numbers, {"api": 2}, {}))
        await store.limits.set_numbers({"api": 1}, {"sleep": None})
        numbers = (await store.limits.state()).numbers
        expect(numbers == LimitNumbers({"api": 1}, {"other": 1}), f"the numbers are {numbers}")
        await end(store, a)
        await start_nothing(store, "its limit has grown smaller")
        await next_starts(store, "c", partial(end, store, b))
        await next_starts(store, "d", partial(store.limits.set_numbers, {}, {}))
        await starts(store, "e")


@guarantee(
    GROUP,
    "A task keeps its limit keys through retries and releases; new content that `latest` gives it has its own.",
    promise="When ``latest`` replaces the content of a waiting task or follower, the keys of the new content replace",
)
async def keys_belong_to_the_content(place: Place) -> None:
    async with place.open() as store:
        await limit(store, {"api": 1})
        await fill(store, "a", retries=1, api="x")
        await fill(store, "b", api="x")
        [a] = await starts(store, "a")
        expect(
            keys_of(a) == (handler_key("sleep"), LimitKey("api", "x")), f"the keys of a running task are {keys_of(a)}"
        )
        await accept(store, Task("b", params={"api": "y"}, on_conflict="latest"))
        await accept(store, Task("a", params={"api": "z"}, on_conflict="latest"))
        await starts(store, "b")
        await store.release([a])
        [a] = await starts(store, "a")
        await expect_slots(store, {LimitKey("api", "x"): 1, LimitKey("api", "y"): 1})
        await end(store, a)
        await starts(store, "a")
        await expect_slots(store, {LimitKey("api", "y"): 1, LimitKey("api", "z"): 1})


@guarantee(
    GROUP,
    "After a crash, the numbers and keys are as before, and the slots in use are the running tasks.",
    Need.DURABLE,
    promise=_KEEPS,
)
async def slots_follow_a_crash(place: Place) -> None:
    async with place.open() as store:
        await limit(store, {"api": 2}, {"other": 1})
        await fill(store, "a", "b", "c", api="x")
        await starts(store, "a", "b")
        await place.cut(store)
        async with place.open() as second:
            watch(second)
            await nothing_runs(second)
            await expect_slots(second, {})
            numbers = (await second.limits.state()).numbers
            expect(numbers == LimitNumbers({"api": 2}, {"other": 1}), f"after a crash the numbers are {numbers}")
            await starts(second, "a", "b")
            await expect_slots(second, {LimitKey("api", "x"): 2})


@guarantee(GROUP, "A node starts only tasks of handlers that it knows.", promise=_KNOWS)
async def unknown_handlers_are_left(place: Place) -> None:
    async with place.open() as store:
        watch(store, frozenset({"known"}))
        await accept(store, Task("a", handler="unknown"), Task("b", handler="known"))
        [b] = await starts(store, "b")
        await end(store, b)
        expect(await listed_names(store, State.PENDING) == ["a"], "a task of an unknown handler does not wait")
        watch(store, frozenset({"known", "unknown"}))
        await starts(store, "a")
