"""What becomes of a task that ran: its outcome, another try, or back to where it was."""

from __future__ import annotations

from ..stores import Watcher
from ..task import Ending, Outcome, Pending, Record, Running, State, Task
from .asking import FAILED, accept, end, end_for_now, listed, start, start_nothing
from .guarantee import Place, expect, guarantee

_FINISHED = "or it is ``Finished``: that records the outcome and frees the name"
_AGAIN = "Each is either tried again, after a while in which it is ``Scheduled`` and holds its name"
_RELEASE = "``release`` makes running tasks pending again, at their old place in the order; that is no failure."


@guarantee("attempts", "An outcome is recorded with all that came of the attempt.", promise=_FINISHED)
async def outcome_is_recorded(place: Place) -> None:
    endings = [
        Ending(Outcome.SUCCEEDED, result=b'{"rows":3}', output=b'{"stdout":"done \\u00e4"}'),
        Ending(Outcome.FAILED, "it did not work: \u00e4\u2028\U0001f600", retryable=False),
        Ending(Outcome.TIMED_OUT, "too slow"),
        Ending(Outcome.CANCELLED),
    ]
    async with place.open() as store:
        for number, ending in enumerate(endings):
            [record] = await accept(store, Task(f"task-{number}", duration=number, params={"path": ["\u00e4", 1.5]}))
            [running] = await start(store)
            finished = await end(store, running, ending)
            expect(finished == await store.get(record.id), "the answer is not the record that can be read")
            expect(finished.ending == ending, f"told {ending}, it has recorded {finished.ending}")
            expect(finished.task == record.task, f"{record.task} has become {finished.task}")
            [attempt] = finished.attempts
            expect(
                record.submitted_at <= attempt.started_at <= attempt.ended_at == finished.finished_at
                and (attempt.outcome, attempt.error) == (ending.outcome, ending.error),
                f"its attempt is recorded as {attempt}, submitted at {record.submitted_at}",
            )


@guarantee("attempts", "A failure with retries left is tried again, and each attempt is recorded.", promise=_AGAIN)
async def retries(place: Place) -> None:
    async with place.open() as store:
        [record] = await accept(store, Task("a", retries=2, retry_delay=0))
        for number in (1, 2):
            [running] = await start(store)
            again = await end_for_now(store, running, Ending(Outcome.FAILED, f"failure {number}"))
            expect(again.id == record.id and len(again.attempts) == number, f"after failure {number} it is {again}")
        [running] = await start(store)
        finished = await end(store, running, FAILED)
        errors = [attempt.error for attempt in finished.attempts]
        expect(errors == ["failure 1", "failure 2", FAILED.error], f"its attempts are recorded as {errors}")


@guarantee("attempts", "A retry is not started before it is due.", promise=_AGAIN)
async def retries_wait(place: Place) -> None:
    async with place.open() as store:
        await accept(store, Task("a", retries=1, retry_delay=0))
        [running] = await start(store)
        ending = Ending(Outcome.FAILED, "later", retry_after_seconds=0.4)
        again = await end_for_now(store, running, ending)
        wanted = again.attempts[-1].ended_at + 0.4
        expect(again.due_at > wanted - 0.001, f"to wait for 0.4 s, it is due {again.due_at - wanted:+.3f} s")
        await start_nothing(store, "its retry is not due")
        [running] = await start(store)
        expect(running.started_at > again.due_at - 0.001, "it was started before it was due")


@guarantee("attempts", "What another try cannot change, and what was cancelled, is not tried again.", promise=_AGAIN)
async def not_retried(place: Place) -> None:
    async with place.open() as store:
        for ending in (Ending(Outcome.FAILED, "so", retryable=False), Ending(Outcome.CANCELLED, "so")):
            await accept(store, Task("a", retries=5))
            [running] = await start(store)
            await end(store, running, ending)


@guarantee("attempts", "A task that is released waits as before, with no attempt counted.", promise=_RELEASE)
async def released(place: Place) -> None:
    async with place.open() as store:
        [before] = await accept(store, Task("a", retries=1))
        [running] = await start(store)
        await store.release([running])
        after = await store.get(before.id)
        expect(after == before, f"it was {before} and is {after}")


@guarantee(
    "attempts", "A task that has ended is not released.", promise="``release`` makes running tasks pending again"
)
async def released_too_late(place: Place) -> None:
    async with place.open() as store:
        await accept(store, Task("a"), Task("b"))
        a, b = await start(store, 2)
        await end(store, a)
        await store.release([a, b])
        waiting = [record.task.name for record in await listed(store, State.PENDING)]
        expect(waiting == ["b"], f"a had ended, b was released, and {waiting} wait")


@guarantee(
    "attempts",
    "Whoever watches is told of each change, in order.",
    promise="``watch`` names whom to tell of the changes of records, in their order",
)
async def changes_are_told(place: Place) -> None:
    told: list[Record] = []
    async with place.open() as store:
        store.watch(Watcher(changed=told.extend))
        await accept(store, Task("a", retries=1, retry_delay=0), Task("later", delay=60_000))
        [running] = await start(store)
        again = await end_for_now(store, running)
        [running] = await start(store)
        finished = await end(store, running)
        [later] = await listed(store, State.SCHEDULED)
        await store.cancel(later.id)
    shown = [(record.task.name, type(record).__name__) for record in told]
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
        f"it was told of {shown}",
    )
    expect(told[3] == again and told[6] == finished, "it was told of other records than can be read")


@guarantee(
    "attempts",
    "What runs is recorded as running, with its start.",
    promise="when it returns, they are running, durably so",
)
async def running_is_recorded(place: Place) -> None:
    async with place.open() as store:
        [record] = await accept(store, Task("a"))
        expect(isinstance(record, Pending), f"it was accepted as {record}")
        [running] = await start(store)
        found = await store.get(record.id)
        expect(isinstance(found, Running) and found == running, f"the claim has given {running}, read is {found}")
        counts = store.statistics()
        expect((counts.pending, counts.running) == (0, 1), f"one runs, and the statistics say {counts}")
