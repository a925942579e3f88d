"""Cancelling a task, in each state."""

from __future__ import annotations

from ..errors import AlreadyFinishedError, ExpiredTaskError, UnknownTaskError
from ..task import Outcome, Running, State, Task
from .asking import accept, end, ended_as, listed, refused, start, submit, until
from .guarantee import Place, expect, guarantee

_WAITING = "``cancel`` ends a waiting task at once and returns it as ``Finished``."
_ERRORS = (
    "Errors: ``UnknownTaskError`` for an unknown id, ``ExpiredTaskError`` if the record is no longer in the history, "
    "``AlreadyFinishedError`` if the task has ended."
)


@guarantee("cancel", "A cancelled waiting task ends at once, and its name is free.", promise=_WAITING)
async def cancel_what_waits(place: Place) -> None:
    async with place.open() as store:
        for record in await accept(store, Task("pending"), Task("scheduled", delay=60_000)):
            answer = await store.cancel(record.id)
            expect(ended_as(answer) is Outcome.CANCELLED, f"`cancel` returned {answer}")
            expect(answer == await store.get(record.id), "`cancel` returned another record than `get`")
            answered = await submit(store, Task(record.task.name))
            expect(answered == ["accepted"], f"a submit of its name then got {answered}")


@guarantee(
    "cancel",
    "A cancelled running task is returned unchanged; its attempt must end first.",
    promise="It returns a running task unchanged",
)
async def cancel_what_runs(place: Place) -> None:
    async with place.open() as store:
        [record] = await accept(store, Task("a"))
        [running] = await start(store)
        answer = await store.cancel(record.id)
        expect(answer == running, f"`cancel` returned {answer}")
        expect(isinstance(await store.get(record.id), Running), "the task ended although its attempt goes on")
        answered = await submit(store, Task("a"))
        expect(answered == ["duplicate"], f"a submit of its name got {answered} although its attempt goes on")
        await end(store, running)


@guarantee("cancel", "Cancelling a follower does not affect the task that it follows.", promise=_WAITING)
async def cancel_a_follower(place: Place) -> None:
    async with place.open() as store:
        await accept(store, Task("a"))
        [running] = await start(store)
        [follower] = await accept(store, Task("a", on_conflict="latest"))
        answer = await store.cancel(follower.id)
        expect(ended_as(answer) is Outcome.CANCELLED, f"`cancel` returned {answer}")
        expect([record.id for record in await listed(store, State.RUNNING)] == [running.id], "the holder stopped")
        answered = await submit(store, Task("a"))
        expect(answered == ["duplicate"], f"a submit of the holder's name got {answered}")


@guarantee(
    "cancel", "Cancelling a finished, an expired or an unknown task raises a different error for each.", promise=_ERRORS
)
async def nothing_to_cancel(place: Place) -> None:
    async with place.open() as store:
        ended, forgotten = await accept(store, Task("a"), Task("b", keep=0))
        await store.cancel(ended.id)
        await store.cancel(forgotten.id)
        with refused(AlreadyFinishedError, "cancelling a finished task"):
            await store.cancel(ended.id)

        async def is_forgotten() -> bool:
            return len(await listed(store)) == 1

        await until(is_forgotten, "a record with `keep` 0 is still listed")
        with refused(ExpiredTaskError, "cancelling an expired task"):
            await store.cancel(forgotten.id)
        tag = ended.id.partition("-")[0]
        for unknown in (f"{tag}-999999", "nonsense", "ffffff-0"):
            with refused(UnknownTaskError, f"cancelling {unknown!r}"):
                await store.cancel(unknown)
