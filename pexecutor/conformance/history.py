"""The two parts of the history: successes, and other outcomes."""

from __future__ import annotations

from ..errors import ExpiredTaskError
from ..stores import Store
from ..task import Ending, Outcome, Task
from .asking import accept, end, listed, listed_names, start, until
from .guarantee import Place, expect, guarantee

_PARTS = "Records of finished tasks are kept in two parts: successes, and other outcomes."
_EACH = "Each part is bounded by count and by age."
_BYTES = "beyond this bound the oldest successes go first, then the oldest others."
_AS_ONE = "Listings show both parts as one, the latest first."


async def _ended(store: Store, name: str, outcome: Outcome, result: bytes | None = None) -> str:
    await accept(store, Task(name))
    [running] = await start(store)
    return (await end(store, running, Ending(outcome, retryable=False, result=result))).id


@guarantee("history", "Successes do not displace tasks with another outcome.", promise=_PARTS)
async def successes_displace_only_successes(place: Place) -> None:
    async with place.open(history_records_max=2) as store:
        await _ended(store, "failed", Outcome.FAILED)
        await _ended(store, "late", Outcome.TIMED_OUT)
        [cancelled] = await accept(store, Task("cancelled"))
        await store.cancel(cancelled.id)
        for name in "abcd":
            await _ended(store, name, Outcome.SUCCEEDED)
        wanted = ["d", "c", "cancelled", "late", "failed"]

        async def is_bounded() -> bool:
            return await listed_names(store) == wanted

        await until(is_bounded, f"a history of 2 successes does not have {wanted}")
        count = store.statistics().history
        expect(count == len(wanted), f"the statistics count {count} finished tasks instead of {len(wanted)}")


@guarantee("history", "A listing has tasks of every outcome in one order, also page by page.", promise=_AS_ONE)
async def both_parts_are_listed_as_one(place: Place) -> None:
    async with place.open() as store:
        for number in range(7):
            await _ended(store, f"{number}", Outcome.FAILED if number % 3 == 1 else Outcome.SUCCEEDED)
        for limit in (1, 2, 1000):
            names = [record.task.name for record in await listed(store, limit=limit)]
            expect(names == [*"6543210"], f"pages of {limit} list {names}, but the tasks ended in the order 0 to 6")


@guarantee("history", "Tasks with another outcome than success have an age of their own.", promise=_EACH)
async def each_part_has_its_age(place: Place) -> None:
    async with place.open(history_seconds_max=600, history_failed_seconds_max=0.5) as store:
        kept = await _ended(store, "succeeded", Outcome.SUCCEEDED)
        gone = await _ended(store, "failed", Outcome.FAILED)

        async def is_gone() -> bool:
            try:
                await store.get(gone)
            except ExpiredTaskError:
                return True
            return False

        await until(is_gone, "a store that keeps failed tasks for 0.5 s still keeps one")
        expect((await store.get(kept)).id == kept, "a task that succeeded is gone, too")
    async with place.open(history_seconds_max=0.5, history_failed_seconds_max=600) as store:
        gone = await _ended(store, "succeeded", Outcome.SUCCEEDED)
        kept = await _ended(store, "failed", Outcome.FAILED)
        await until(is_gone, "a store that keeps tasks that succeeded for 0.5 s still keeps one")
        expect((await store.get(kept)).id == kept, "a task that failed is gone, too")


@guarantee("history", "Over the bound of bytes, successes go before tasks with another outcome.", promise=_BYTES)
async def successes_go_first(place: Place) -> None:
    async with place.open(history_bytes_max=10_000) as store:
        # A store may count the encoded results, which are up to a third larger.
        for name, outcome, size, wanted in (
            ("f", Outcome.FAILED, 500, ["f"]),
            ("a", Outcome.SUCCEEDED, 5000, ["a", "f"]),
            ("b", Outcome.SUCCEEDED, 500, ["b", "a", "f"]),
            ("g", Outcome.FAILED, 4000, ["g", "b", "f"]),
            ("c", Outcome.SUCCEEDED, 9000, ["c"]),
        ):
            await _ended(store, name, outcome, b"1" * size)
            kept = await listed_names(store)
            expect(kept == wanted, f"of at most 10,000 bytes, after {name!r}, {kept} is kept instead of {wanted}")
