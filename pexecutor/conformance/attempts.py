"""The end of an attempt: an outcome, a retry, or a release."""

from __future__ import annotations

from ..stores import Watcher
from ..task import Ending, Outcome, Pending, Record, Running, State, Task
from .asking import FAILED, accept, end, end_for_now, listed, start, start_nothing
from .guarantee import Place, expect, guarantee

_FINISHED = "The step that makes a task ``Finished`` records its outcome and frees its name"
_AGAIN = "Each task either becomes ``Scheduled`` for a retry and keeps its name, or becomes ``Finished``."
_RELEASE = (
    "``release`` makes running tasks pending again, at their old place in the start order; a release is not a failure."
)


@guarantee("attempts", "The outcome of an attempt is recorded completely.", promise=_FINISHED)
async def outcome_is_recorded(place: Place) -> None:
    endings = [
        Ending(Outcome.SUCCEEDED, result=b'{"rows":3}', output=b'{"stdout":"done \\u00e4"}'),
        Ending(Outcome.FAILED, "it did not work: \u00e4\u2028\U0001f600", retryable=False),
        Ending(Outcome.TIMED_OUT, "too slow"),
        Ending(Outcome.CANCELLED),
    ]
    async with place.open() as store:
        for number, ending in enumerate(endings):
            params, tags = {"path": ["\u00e4", 1.5]}, ("zeta", "\u00e4 b")
            [record] = await accept(store, Task(f"task-{number}", duration=number, params=params, tags=tags))
            [running] = await start(store)
            finished = await end(store, running, ending)
            expect(finished == await store.get(record.id), "`finish` returned another record than `get`")
            expect(finished.ending == ending, f"the ending was {ending}, but {finished.ending} was recorded")
            expect(finished.task == record.task, f"{record.task} was recorded as {finished.task}")
            [attempt] = finished.attempts
            expect(
                record.submitted_at <= attempt.started_at <= attempt.ended_at == finished.finished_at
                and (attempt.outcome, attempt.error) == (ending.outcome, ending.error),
                f"the attempt was recorded as {attempt}, submitted at {record.submitted_at}",
            )


@guarantee("attempts", "A failed task with retries left is retried, and each attempt is recorded.", promise=_AGAIN)
async def retries(place: Place) -> None:
    async with place.open() as store:
        [record] = await accept(store, Task("a", retries=2, retry_delay=0))
        for number in (1, 2):
            [running] = await start(store)
            again = await end_for_now(store, running, Ending(Outcome.FAILED, f"failure {number}"))
            expect(
                again.id == record.id and len(again.attempts) == number, f"after failure {number} the task is {again}"
            )
        [running] = await start(store)
        finished = await end(store, running, FAILED)
        errors = [attempt.error for attempt in finished.attempts]
        expect(
            errors == ["failure 1", "failure 2", FAILED.error], f"the attempts were recorded with the errors {errors}"
        )


@guarantee("attempts", "A retry is not started before it is due.", promise=_AGAIN)
async def retries_wait(place: Place) -> None:
    async with place.open() as store:
        await accept(store, Task("a", retries=1, retry_delay=0))
        [running] = await start(store)
        ending = Ending(Outcome.FAILED, "later", retry_after_seconds=0.4)
        again = await end_for_now(store, running, ending)
        wanted = again.attempts[-1].ended_at + 0.4
        expect(again.due_at > wanted - 0.001, f"a retry after 0.4 s is due {again.due_at - wanted:+.3f} s from then")
        await start_nothing(store, "its retry is not due")
        [running] = await start(store)
        expect(running.started_at > again.due_at - 0.001, "the retry was started before it was due")


@guarantee("attempts", "A task that was cancelled, or cannot be retried, is not retried.", promise=_AGAIN)
async def not_retried(place: Place) -> None:
    async with place.open() as store:
        for ending in (Ending(Outcome.FAILED, "so", retryable=False), Ending(Outcome.CANCELLED, "so")):
            await accept(store, Task("a", retries=5))
            [running] = await start(store)
            await end(store, running, ending)


@guarantee("attempts", "A released task waits as before, and no attempt is counted.", promise=_RELEASE)
async def released(place: Place) -> None:
    async with place.open() as store:
        [before] = await accept(store, Task("a", retries=1))
        [running] = await start(store)
        await store.release([running])
        after = await store.get(before.id)
        expect(after == before, f"the task was {before} before its start, and is {after} after its release")


@guarantee(
    "attempts", "A task that has ended cannot be released.", promise="``release`` makes running tasks pending again"
)
async def released_too_late(place: Place) -> None:
    async with place.open() as store:
        await accept(store, Task("a"), Task("b"))
        a, b = await start(store, 2)
        await end(store, a)
        await store.release([a, b])
        waiting = [record.task.name for record in await listed(store, State.PENDING)]
        expect(waiting == ["b"], f"a had ended and b was released, but the pending tasks are {waiting}")


@guarantee(
    "attempts",
    "The watcher is notified of each change, in order.",
    promise="the store notifies when records change, in the order of the changes",
)
async def changes_are_told(place: Place) -> None:
    notified: list[Record] = []
    async with place.open() as store:
        store.watch(Watcher(changed=notified.extend))
        await accept(store, Task("a", retries=1, retry_delay=0), Task("later", delay=60_000))
        [running] = await start(store)
        again = await end_for_now(store, running)
        [running] = await start(store)
        finished = await end(store, running)
        [later] = await listed(store, State.SCHEDULED)
        await store.cancel(later.id)
    shown = [(record.task.name, type(record).__name__) for record in notified]
    expect(
        shown
        == [
            ("a", "Pending"),
            ("later", "Scheduled"),
            ("a", "Running"),
            ("a", "Scheduled"),
            ("a", "Pending"),
            ("a", "Running"),
            ("a", "Finished"),
            ("later", "Finished"),
        ],
        f"the watcher was notified of {shown}",
    )
    expect(
        notified[3] == again and notified[6] == finished, "the watcher was notified of other records than can be read"
    )


@guarantee(
    "attempts",
    "A running task is recorded as running, with its start time.",
    promise="The returned tasks are running, and their start is durable.",
)
async def running_is_recorded(place: Place) -> None:
    async with place.open() as store:
        [record] = await accept(store, Task("a"))
        expect(isinstance(record, Pending), f"the accepted task is {record}")
        [running] = await start(store)
        found = await store.get(record.id)
        expect(
            isinstance(found, Running) and found == running, f"`claim` returned {running}, but `get` returned {found}"
        )
        counts = store.statistics()
        expect((counts.pending, counts.running) == (0, 1), f"one task runs, but the statistics are {counts}")
