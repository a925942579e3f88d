"""Pauses, and the reasons for which a task does not run."""

from __future__ import annotations

from functools import partial
from typing import Final

from ..errors import UnknownTaskError
from ..limits.keys import LimitKey
from ..stores import Store
from ..stores.limits import (
    Ahead,
    AtLimit,
    Due,
    Follows,
    NodeDraining,
    NoSuchHandler,
    PauseChange,
    Paused,
    PoolBusy,
    Reason,
    blocked_by,
    handler_key,
)
from ..task import InFlight, Scheduled, Task
from .asking import accept, end, nothing_runs, refused, start, start_nothing, until
from .guarantee import BrokenPromiseError, Need, Place, expect, guarantee
from .limits import fill, limit, next_starts, starts, watch

GROUP: Final = "pauses"
_PAUSED: Final = "no task starts; submits and running tasks go on"
_NOTHING: Final = "Pausing something that is paused changes nothing, not even ``since`` and ``by``"
_ENDS: Final = "``resume`` ends that pause, and no other one."
_SURVIVES: Final = "A pause is durable when ``pause`` returns, holds on all nodes, and survives a restart and a move."
_WHY: Final = "returns the reasons for which a task does not run, in the order of ``Reason``"
_NONE: Final = "A running or finished task has none."


@guarantee(GROUP, "While everything is paused, no task starts; submits and running tasks go on.", promise=_PAUSED)
async def everything_is_paused(place: Place) -> None:
    async with place.open() as store:
        await accept(store, Task("a"), Task("b"))
        [a] = await start(store)
        change = await store.limits.pause(None, "me")
        expect(change.changed, "a pause said that it changed nothing")
        await accept(store, Task("c", handler="other"))
        await end(store, a)
        await start_nothing(store, "everything is paused")
        await next_starts(store, "b", partial(store.limits.resume, None))
        await starts(store, "c")


@guarantee(GROUP, "The pause of a handler holds back its tasks, and no other ones.", promise=_PAUSED)
async def a_handler_is_paused(place: Place) -> None:
    async with place.open() as store:
        await limit(store, {"api": 1})
        await accept(store, Task("a", handler="other"), Task("b"), Task("c", params={"api": ""}))
        await accept(store, Task("d", handler="other", params={"api": ""}))
        await store.limits.pause("sleep", "me")
        a, _ = await starts(store, "a", "d")
        await end(store, a)
        await next_starts(store, "b", partial(store.limits.resume, "sleep"))


@guarantee(GROUP, "Repeated pauses and resumes change nothing, and both return all pauses.", promise=_NOTHING)
async def pauses_are_repeated(place: Place) -> None:
    async with place.open() as store:
        first = await store.limits.pause("b", "me")
        [pause] = first.pauses
        expect((pause.handler, pause.by, pause.since > 0) == ("b", "me", True), f"the pause is {pause}")
        again = await store.limits.pause("b", "another")
        expect(again == PauseChange(False, (pause,)), f"the same pause again gave {again}")
        await store.limits.pause("a", "me")
        every = await store.limits.pause(None, "me")
        found = [pause.handler for pause in every.pauses]
        expect(found == [None, "a", "b"], f"the pauses are those of {found}")
        expect((await store.limits.state()).pauses == every.pauses, "the state has other pauses than `pause` returned")
        expect(not (await store.limits.resume("c")).changed, "resuming a handler that is not paused changed something")
        left = await store.limits.resume("a")
        expect(left == PauseChange(True, (every.pauses[0], pause)), f"a resume left {left}")


@guarantee(GROUP, "A resume ends one pause; what another one holds back does not start.", promise=_ENDS)
async def a_resume_ends_one_pause(place: Place) -> None:
    async with place.open() as store:
        await accept(store, Task("a"))
        await store.limits.pause("sleep", "me")
        await store.limits.pause(None, "me")
        await store.limits.resume("sleep")
        await start_nothing(store, "everything is paused")
        await store.limits.pause("sleep", "me")
        await store.limits.resume(None)
        await start_nothing(store, "its handler is paused")
        await next_starts(store, "a", partial(store.limits.resume, "sleep"))


@guarantee(GROUP, "Pauses survive a crash.", Need.DURABLE, promise=_SURVIVES)
async def pauses_are_kept(place: Place) -> None:
    async with place.open() as store:
        await accept(store, Task("a"), Task("b", handler="other"))
        await start(store)
        await store.limits.pause("other", "me")
        await store.limits.pause("gone", "me")
        await store.limits.resume("gone")
        before = (await store.limits.pause("sleep", "you")).pauses
        await place.cut(store)
        async with place.open() as second:
            await nothing_runs(second)
            found = (await second.limits.state()).pauses
            expect(found == before, f"the pauses should be {before}, but are {found}")
            await start_nothing(second, "its handler is paused")
            await next_starts(second, "a", partial(second.limits.resume, "sleep"))


# Why


async def why(store: Store, record: InFlight, *wanted: Reason) -> None:
    """Check for which reasons a task does not run."""
    found = await store.limits.why(record.id)
    expect(found == wanted, f"{record.task.name!r} does not run because of {found}, but should because of {wanted}")


@guarantee(GROUP, "A task that can start at once, runs or has ended does not wait for a reason.", promise=_NONE)
async def no_reason(place: Place) -> None:
    async with place.open() as store:
        watch(store, pool_size=2, busy=1)
        await store.limits.pause("other", "me")
        [record] = await accept(store, Task("a"))
        await why(store, record)
        [running] = await start(store)
        await store.limits.pause(None, "me")
        await why(store, running)
        await end(store, running)
        await why(store, running)
        with refused(UnknownTaskError, "asking why an unknown task does not run"):
            await store.limits.why("000000-1")


@guarantee(GROUP, "Each reason for which a task does not run is named.", promise=_WHY)
async def each_reason(place: Place) -> None:
    async with place.open() as store:
        await limit(store, {"api": 2, "db": 1})
        a, b, c = await fill(store, "a", "b", "c", api="x")
        await start(store, 2)
        await why(store, c, AtLimit(LimitKey("api", "x"), 2, (a.id, b.id)))
        [follower] = await accept(store, Task("b", on_conflict="latest"))
        await why(store, follower, Follows(b.id))
        [later] = await accept(store, Task("later", delay=60_000))
        assert isinstance(later, Scheduled), "it is delayed"
        await why(store, later, Due(later.due_at))
        [plain] = await accept(store, Task("plain"))
        await why(store, plain, Ahead(1, exact=False))
        [other] = await accept(store, Task("other", handler="other", priority=1))
        [pause] = (await store.limits.pause("other", "me")).pauses
        await why(store, other, Paused(pause))
        await why(store, plain, Ahead(1, exact=False))
        await store.limits.set_numbers({}, {"sleep": 2})
        await why(store, later, Due(later.due_at), AtLimit(handler_key("sleep"), 2, (a.id, b.id)))


@guarantee(GROUP, "All reasons for which a task does not run are named, in their order.", promise=_WHY)
async def many_reasons(place: Place) -> None:
    async with place.open() as store:
        await limit(store, {"api": 1, "db": 1}, {"sleep": 2})
        a, _, c = await accept(
            store,
            Task("a", params={"api": "x"}),
            Task("b", params={"db": "y"}),
            Task("c", params={"api": "x", "db": "y"}, delay=60_000),
        )
        started = await start(store, 2)
        pauses = (await store.limits.pause("sleep", "me")).pauses
        pauses = (await store.limits.pause(None, "me")).pauses
        limits = (
            AtLimit(handler_key("sleep"), 2, (a.id, started[1].id)),
            AtLimit(LimitKey("api", "x"), 1, (a.id,)),
            AtLimit(LimitKey("db", "y"), 1, (started[1].id,)),
        )
        if not isinstance(c, Scheduled):
            raise BrokenPromiseError(f"a delayed task is {c}")
        await why(store, c, Due(c.due_at), *map(Paused, pauses), *limits)
        found = [getattr(block, "key", block) for block in blocked_by(c, await store.limits.state())]
        expect(found == [*map(Paused, pauses), *(block.key for block in limits)], f"`blocked_by` names {found}")


@guarantee(
    GROUP,
    "A task waits because its node drains, does not know its handler, or has no idle worker.",
    promise="``NodeDraining``, ``NoSuchHandler`` and ``PoolBusy``: every live node drains",
)
async def reasons_of_the_node(place: Place) -> None:
    async with place.open() as store:
        watch(store, frozenset({"sleep"}), pool_size=2, busy=2, draining=True)
        [sleep, other] = await accept(store, Task("a"), Task("b", handler="other"))

        async def look() -> bool:
            return bool(await store.limits.why(sleep.id))

        await until(look, "nothing is said about a node that drains")
        await why(store, sleep, NodeDraining(), PoolBusy())
        await why(store, other, NodeDraining(), NoSuchHandler("other"), Ahead(1, exact=True), PoolBusy())
