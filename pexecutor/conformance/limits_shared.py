"""Limits and pauses across processes that share a store; each process is a node."""

from __future__ import annotations

from functools import partial
from typing import Final

import trio

from ..limits.keys import LimitKey
from ..stores import Store
from ..stores.limits import LimitNumbers, NoSuchHandler
from ..task import Running, Task
from .asking import IDLE_SECONDS, LOOK_SECONDS, REAP_SECONDS_MAX, accept, end, start, start_nothing, until
from .guarantee import Need, Place, expect, guarantee
from .limits import GROUP, expect_slots, fill, limit, next_starts, watch

_EXCEEDED: Final = "So a limit is never exceeded, also if several nodes claim at the same time."
_DECIDES: Final = "On a shared store the last call decides for all nodes."
_HOLDS: Final = "A pause is durable when ``pause`` returns, holds on all nodes, and survives a restart and a move."
_AWAY: Final = "every step that ends, retries, releases, abandons or takes away a running task also frees its slots"
_EVERY: Final = "every live node drains, does not know the handler, or has no idle worker"


@guarantee(GROUP, "A limit bounds the tasks of all nodes together.", Need.SHARED, promise=_EXCEEDED)
async def a_limit_counts_over_nodes(place: Place) -> None:
    async with place.open() as one, place.open() as other:
        await limit(one, {"api": 3})
        watch(other)
        await fill(one, *(f"task-{number}" for number in range(10)), api="")
        claims: list[Running] = []
        async with trio.open_nursery() as nursery:
            for number in range(6):
                nursery.start_soon(_claim_into, (one, other)[number % 2], claims)
            await trio.sleep(4 * IDLE_SECONDS)
            nursery.cancel_scope.cancel()
        found = sorted(record.task.name for record in claims)
        expect(found == ["task-0", "task-1", "task-2"], f"with a limit of 3, {found} were started on two nodes")
        await expect_slots(other, {LimitKey("api"): 3})


async def _claim_into(store: Store, claims: list[Running]) -> None:
    while True:
        claims += await store.claim(1)
        await trio.sleep(LOOK_SECONDS)


@guarantee(GROUP, "A slot that is freed on one node wakes a claim on another node.", Need.SHARED, promise=_EXCEEDED)
async def slots_are_freed_for_every_node(place: Place) -> None:
    async with place.open() as one, place.open() as other:
        await limit(one, {"api": 1})
        await fill(one, "a", "b", api="")
        [a] = await start(one)
        await next_starts(other, "b", partial(end, one, a))


@guarantee(GROUP, "The numbers that a node sets last hold on every node.", Need.SHARED, promise=_DECIDES)
async def the_last_numbers_decide(place: Place) -> None:
    async with place.open() as one, place.open() as other:
        await limit(one, {"api": 1, "gone": 1}, {"sleep": 5})
        await fill(one, "a", "b", api="")
        await start(one)
        await next_starts(one, "b", partial(other.limits.set_numbers, {"api": 2}, {"other": 1}))
        numbers = (await one.limits.state()).numbers
        wanted = LimitNumbers({"api": 2}, {"sleep": 5, "other": 1})
        expect(numbers == wanted, f"the numbers should be {wanted}, but are {numbers}")


@guarantee(GROUP, "A pause through one node holds on every node, and so does its end.", Need.SHARED, promise=_HOLDS)
async def a_pause_holds_on_every_node(place: Place) -> None:
    async with place.open() as one, place.open() as other:
        await accept(one, Task("a"))
        pauses = (await one.limits.pause("sleep", "me")).pauses
        await start_nothing(other, "its handler is paused through another node")
        found = await other.limits.pause("sleep", "you")
        expect((found.changed, found.pauses) == (False, pauses), f"an equal pause on another node gave {found}")
        await next_starts(other, "a", partial(one.limits.resume, "sleep"))


@guarantee(GROUP, "The slots of a lost node are free again.", Need.SHARED, promise=_AWAY)
async def slots_of_a_lost_node_are_freed(place: Place) -> None:
    async with place.open() as one, place.open() as other:
        await limit(one, {"api": 2})
        watch(other)
        await accept(one, Task("a", params={"api": ""}, on_crash="fail"))
        await fill(one, "b", "c", "d", api="")
        await start(one, 2)
        await place.cut(one)

        async def look() -> bool:
            return (await other.limits.state()).slots == {}

        await until(look, "a lost node keeps its slots", seconds=REAP_SECONDS_MAX)
        started = [record.task.name for record in await start(other, 2)]
        expect(started == ["b", "c"], f"after a node was lost, {started} were started")
        await expect_slots(other, {LimitKey("api"): 2})


@guarantee(GROUP, "A task waits for a node that knows its handler.", Need.SHARED, promise=_EVERY)
async def a_task_waits_for_a_node_that_knows_its_handler(place: Place) -> None:
    async with place.open() as one:
        watch(one, frozenset({"sleep"}))
        [record] = await accept(one, Task("a", handler="other"))
        await start_nothing(one, "this node does not know its handler")
        expect(
            await one.limits.why(record.id) == (NoSuchHandler("other"),), "a task of an unknown handler has a reason"
        )
        async with place.open() as other:
            watch(other, frozenset({"other"}))

            async def look() -> bool:
                return await one.limits.why(record.id) == ()

            await until(look, "a task still waits, although another node knows its handler")
            await start_nothing(one, "this node does not know its handler")
            await start(other)
