"""Cancelling, in each state."""

from __future__ import annotations

from ..errors import AlreadyFinishedError, ExpiredTaskError, UnknownTaskError
from ..task import Outcome, Running, State, Task
from .asking import accept, end, ended_as, listed, refused, start, submit, until
from .guarantee import Place, expect, guarantee

_WAITING = "``cancel`` finishes a task that waits at once and returns it ``Finished``."
_ERRORS = (
    "Unknown id: ``UnknownTaskError``; gone from history: ``ExpiredTaskError``; "
    "already ended: ``AlreadyFinishedError``."
)


@guarantee("cancel", "A task that waits ends cancelled at once, and its name is free.", promise=_WAITING)
async def cancel_what_waits(place: Place) -> None:
    async with place.open() as store:
        for record in await accept(store, Task("pending"), Task("scheduled", delay=60_000)):
            answer = await store.cancel(record.id)
            expect(ended_as(answer) is Outcome.CANCELLED, f"the answer is {answer}")
            expect(answer == await store.get(record.id), "the answer is not the record that can be read")
            answered = await submit(store, Task(record.task.name))
            expect(answered == ["accepted"], f"its name was then {answered}")


@guarantee(
    "cancel",
    "A running task is returned as it is; its work must end first.",
    promise="A running one is returned as it is",
)
async def cancel_what_runs(place: Place) -> None:
    async with place.open() as store:
        [record] = await accept(store, Task("a"))
        [running] = await start(store)
        answer = await store.cancel(record.id)
        expect(answer == running, f"the answer is {answer}")
        expect(isinstance(await store.get(record.id), Running), "it has ended while its work goes on")
        answered = await submit(store, Task("a"))
        expect(answered == ["duplicate"], f"its name was {answered} while its work goes on")
        await end(store, running)


@guarantee("cancel", "A follower is cancelled alone: what it follows goes on.", promise=_WAITING)
async def cancel_a_follower(place: Place) -> None:
    async with place.open() as store:
        await accept(store, Task("a"))
        [running] = await start(store)
        [follower] = await accept(store, Task("a", on_conflict="latest"))
        answer = await store.cancel(follower.id)
        expect(ended_as(answer) is Outcome.CANCELLED, f"the answer is {answer}")
        expect([record.id for record in await listed(store, State.RUNNING)] == [running.id], "the holder has stopped")
        answered = await submit(store, Task("a"))
        expect(answered == ["duplicate"], f"the name of the holder was {answered}")


@guarantee(
    "cancel", "What has ended, is forgotten or never was is not cancelled, and each is told apart.", promise=_ERRORS
)
async def nothing_to_cancel(place: Place) -> None:
    async with place.open() as store:
        ended, forgotten = await accept(store, Task("a"), Task("b", keep=0))
        await store.cancel(ended.id)
        await store.cancel(forgotten.id)
        with refused(AlreadyFinishedError, "cancelling what has ended"):
            await store.cancel(ended.id)

        async def is_forgotten() -> bool:
            return len(await listed(store)) == 1

        await until(is_forgotten, "a record that is not to be kept is kept")
        with refused(ExpiredTaskError, "cancelling what is forgotten"):
            await store.cancel(forgotten.id)
        tag = ended.id.partition("-")[0]
        for unknown in (f"{tag}-999999", "nonsense", "ffffff-0"):
            with refused(UnknownTaskError, f"cancelling {unknown!r}"):
                await store.cancel(unknown)
