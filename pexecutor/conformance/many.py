"""Steps that cancel or change many tasks, and tasks that repeat others."""

from __future__ import annotations

from collections.abc import Sequence

from ..limits.defaults import STEP_RECORDS_MAX
from ..stores import Store, Watcher
from ..task import Accepted, Brings, Following, Outcome, Record, State, Task
from .asking import DONE, accept, end, ended_as, listed, start, submit
from .deliveries import MANY
from .guarantee import BrokenPromiseError, Need, Place, expect, guarantee
from .steps import cancelled_at_step, every_await

GROUP = "many"
_ONE_STEP = (
    "``cancel_many`` and ``change_many`` do for a list of tasks, in one step, what ``cancel`` and "
    "``change_waiting`` do for one."
)
_RESULTS = (
    "They return one result per task, in the order of the list: the record after the step, or ``None`` where the "
    "single call would raise."
)
_BOUND = (
    "A step changes at most ``STEP_RECORDS_MAX`` records, where a follower that gets the name and each delivery count "
    "as records."
)
_RETRY_OF = "The records of accepted tasks keep it."


def _shown(records: Sequence[Record | None]) -> list[str]:
    return ["nothing" if record is None else ended_as(record) or record.state for record in records]


@guarantee(GROUP, "A cancel of many has for each task the result of a single cancel.", promise=_RESULTS)
async def cancel_many_of_each_state(place: Place) -> None:
    async with place.open() as store:
        ended, runs = await accept(store, Task("ended"), Task("runs"))
        for running in (await start(store, 2))[:1]:
            await end(store, running)
        later, waits, follows = await accept(
            store, Task("later", delay=60_000), Task("waits"), Task("runs", on_conflict="latest")
        )
        ids = [waits.id, ended.id, runs.id, "nonsense", later.id, follows.id, waits.id]
        found = _shown(results := await store.cancel_many(ids))
        wanted = ["cancelled", "nothing", "running", "nothing", "cancelled", "cancelled", "nothing"]
        expect(found == wanted, f"the results are {found} instead of {wanted}")
        expect(results[0] == await store.get(waits.id), "`cancel_many` returned another record than `get`")
        expect([record.id for record in await listed(store, State.RUNNING)] == [runs.id], "the running task changed")
        answered = await submit(store, Task("later"), Task("waits"), Task("runs"))
        expect(answered == ["accepted", "accepted", "duplicate"], f"submits of the names then got {answered}")


@guarantee(GROUP, "A task that is cancelled among many passes its name to its follower.", promise=_ONE_STEP)
async def cancel_many_with_followers(place: Place) -> None:
    async with place.open() as store:
        a, b, c = await accept(store, Task("a"), Task("b"), Task("c"))
        running = await start(store, 3)
        latest = [Task(name, on_conflict="latest") for name in "abc"]
        follow_a, follow_b, follow_c = await accept(store, *latest)
        await store.release(running)
        found = _shown(await store.cancel_many([a.id, b.id, follow_b.id, follow_c.id, c.id]))
        expect(found == ["cancelled"] * 5, f"the results are {found}")
        pending = [record.id for record in await listed(store, State.PENDING)]
        expect(pending == [follow_a.id], f"{pending} wait instead of the follower {follow_a.id}")
        answered = await submit(store, Task("a"), Task("b"), Task("c"))
        expect(answered == ["duplicate", "accepted", "accepted"], f"submits of the names then got {answered}")


@guarantee(GROUP, "A step cancels a bounded number of tasks, and the next step the rest.", promise=_BOUND)
async def cancel_many_is_bounded(place: Place) -> None:
    async with place.open(queue_size=2000) as store:
        names = [f"task-{number}" for number in range(STEP_RECORDS_MAX + 100)]
        ids = [record.id for record in await accept(store, *map(Task, names))]
        results = await store.cancel_many(ids)
        expect(1 <= len(results) <= STEP_RECORDS_MAX, f"a step for {len(ids)} tasks has {len(results)} results")
        ended = await listed(store, State.FINISHED)
        expect(len(ended) == len(results), f"a step with {len(results)} results has ended {len(ended)} tasks")
        while left := ids[len(results) :]:
            results += await store.cancel_many(left)
        expect([record and record.id for record in results] == ids, "the results are not those of the tasks")
        expect(not await listed(store, State.PENDING), "a task is still pending after the last step")


@guarantee(GROUP, "The bound of a step counts followers and deliveries.", promise=_BOUND)
async def cancel_many_counts_all_records(place: Place) -> None:
    async with place.open(queue_size=2000) as store:
        store.watch(Watcher(brings=lambda _: Brings(cancelled=("one", "two", "three"))))
        names = [f"task-{number}" for number in range(150)]
        records = await accept(store, *map(Task, names))
        await store.release(await start(store, 150))
        results = await store.cancel_many([record.id for record in records])
        made = sum([len(await store.deliveries.page(target, MANY)) for target in ("one", "two", "three")])
        expect(made == 3 * len(results), f"{len(results)} results brought {made} deliveries instead of 3 each")
        most = STEP_RECORDS_MAX // 4
        expect(1 <= len(results) <= most, f"a step with 3 deliveries for each task has {len(results)} results")


@guarantee(GROUP, "A cancelled `cancel_many` has cancelled every task that fits or none.", promise=_ONE_STEP)
async def cancel_many_is_one_step(place: Place) -> None:
    async with place.open() as store:
        for step in every_await():
            names = [f"{name}-{step}" for name in "abc"]
            ids = [record.id for record in await accept(store, *map(Task, names))]
            was_cancelled = await cancelled_at_step(step, lambda ids=ids: store.cancel_many(ids))  # type: ignore[misc]
            outcomes = {ended_as(await store.get(task_id)) for task_id in ids}
            expect(len(outcomes) == 1, f"cancelled at await {step}, the step has ended some of its tasks")
            if not was_cancelled:
                expect(outcomes == {Outcome.CANCELLED}, f"the step has left {outcomes}")
                return


@guarantee(
    GROUP, "The changes of a step that cancels many survive the death of the process.", Need.DURABLE, promise=_ONE_STEP
)
async def cancel_many_is_durable(place: Place) -> None:
    async with place.open() as store:
        ids = [record.id for record in await accept(store, *map(Task, "abc"))]
        await store.cancel_many(ids[:2])
        await store.change_many(ids[2:], priority=7)
        await place.cut(store)
    async with place.open() as store:
        found = {record.task.name: _shown([record])[0] for record in await listed(store)}
        expect(found == {"a": "cancelled", "b": "cancelled", "c": "pending"}, f"the records are {found}")
        priority = (await store.get(ids[2])).task.priority
        expect(priority == 7, f"a task that got priority 7 has {priority}")


@guarantee(GROUP, "A change of many moves each waiting task to its new place.", promise=_RESULTS)
async def change_many(place: Place) -> None:
    async with place.open() as store:
        [runs] = await accept(store, Task("runs"))
        await start(store)
        first, later, second, follows, third = await accept(
            store, Task("1"), Task("later", delay=60_000), Task("2"), Task("runs", on_conflict="latest"), Task("3")
        )
        ids = [third.id, runs.id, later.id, "nonsense", second.id, follows.id]
        results = await store.change_many(ids, priority=9)
        found = [None if record is None else (record.id, record.task.priority) for record in results]
        wanted = [None if index in (1, 3) else (task_id, 9) for index, task_id in enumerate(ids)]
        expect(found == wanted, f"the results are {found} instead of {wanted}")
        order = [record.id for record in await listed(store, State.PENDING)]
        expect(order == [second.id, third.id, first.id], f"the start order is {order}")


@guarantee(GROUP, "A record keeps which task it repeats, also as a follower and with new content.", promise=_RETRY_OF)
async def repeated_tasks(place: Place) -> None:
    async with place.open() as store:
        [record] = await accept(store, Task("a"))
        [running] = await start(store)
        ended = await end(store, running)
        await accept(store, Task("held"), Task("replaced"))
        [held, _] = await start(store, 2)
        await store.release([_])
        tasks = [Task("a"), Task("b", delay=60_000), Task("held", on_conflict="latest")]
        verdicts = await store.submit(
            [*tasks, Task("replaced", on_conflict="latest"), Task("c")], retry_of=[ended.serial] * 4 + [0]
        )
        accepted = [verdict.record for verdict in verdicts if isinstance(verdict, Accepted)]
        expect(len(accepted) == 5, f"the verdicts are {verdicts}")
        await expect_repeats(store, accepted, [record.serial] * 4 + [0])
        if not isinstance(accepted[2], Following):
            raise BrokenPromiseError(f"the follower is {accepted[2]}")
        await end(store, held)
        await expect_repeats(store, accepted, [record.serial] * 4 + [0])
        for started in await start(store, 3):
            await end(store, started, DONE)
        await expect_repeats(store, accepted, [record.serial] * 4 + [0])
        await submit(store, Task("b", on_conflict="latest"))
        await expect_repeats(store, accepted[1:2], [0])


@guarantee(GROUP, "A record keeps which task it repeats when the process dies.", Need.DURABLE, promise=_RETRY_OF)
async def repeated_tasks_are_kept(place: Place) -> None:
    async with place.open() as store:
        [record] = await accept(store, Task("a"))
        [running] = await start(store)
        await end(store, running)
        verdicts = await store.submit([Task("a"), Task("b")], retry_of=[record.serial] * 2)
        accepted = [verdict.record for verdict in verdicts if isinstance(verdict, Accepted)]
        await place.cut(store)
    async with place.open() as store:
        await expect_repeats(store, accepted, [record.serial] * 2)


async def expect_repeats(store: Store, records: Sequence[Record], serials: Sequence[int]) -> None:
    """Check which tasks the records of these tasks repeat."""
    now = [await store.get(record.id) for record in records]
    found = [0 if record.rare is None else record.rare.retry_of for record in now]
    expect(found == [*serials], f"the tasks repeat {found} instead of {[*serials]}")
