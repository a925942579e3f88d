"""Finding records: listings by criteria, and the bound of tasks that were accepted later."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise

import msgspec
import trio

from ..stores import PageRequest, Store
from ..stores.find import Filter
from ..task import Ending, Finished, Outcome, Record, State, Task
from .asking import DONE, FAILED, LOOK_SECONDS, accept, end, end_for_now, listed, start
from .guarantee import Place, expect, guarantee

_MATCHES = "``find.py`` says which records a filter matches."
_CUT = (
    "A page that is cut by this bound may be short or empty although more records match: only a page without "
    "``next_cursor`` is the last."
)
_LATER = "a request with this number as ``serial_max`` leaves out tasks that were accepted later."


async def _one_of_each(store: Store) -> list[Record]:
    """Put tasks that differ in every criterion into each state; return the whole listing."""
    for number, ending in enumerate((DONE, FAILED, Ending(Outcome.TIMED_OUT, "it took too long"), FAILED)):
        await accept(
            store, Task(f"old-{number}", tags=("x", "y")[: number % 3], handler=("sleep", "notify")[number % 2])
        )
        [running] = await start(store)
        await end(store, running, ending)
        await trio.sleep(LOOK_SECONDS)
    await accept(store, Task("tried", retries=1, retry_delay=600_000, tags=("x",)), Task("old-0"), Task("held"))
    [tried, *_] = await start(store, 3)
    await end_for_now(store, tried, FAILED)
    await accept(store, Task("held", on_conflict="latest", tags=("y", "x")))
    await trio.sleep(LOOK_SECONDS)
    await accept(store, Task("old-1", tags=("y",)), Task("new", handler="notify"), Task("later", delay=600_000))
    return await listed(store)


def _filters(records: Sequence[Record]) -> Iterator[Filter]:
    """Yield filters with one criterion, and with two."""
    ended = [record for record in records if isinstance(record, Finished)]
    middle = sorted(record.submitted_at for record in records)[len(records) // 2]
    criteria: list[tuple[str, object]] = [
        *[("state", state) for state in State],
        *[("outcome", outcome) for outcome in (Outcome.SUCCEEDED, Outcome.FAILED, Outcome.ABANDONED)],
        *[("name", "old-0"), ("name", "held"), ("name", "none")],
        *[("handler", "notify"), ("handler", "none")],
        *[("tags", ("x",)), ("tags", ("x", "y")), ("tags", ("x", "none"))],
        *[("name_prefix", "old-"), ("name_prefix", "l"), ("name_prefix", "old-00")],
        *[("since", middle), ("until", middle)],
        *[("finished_since", ended[1].finished_at), ("error", "purpose"), ("error", "Purpose")],
    ]
    yield Filter()
    for name, value in criteria:
        yield Filter(**{name: value})  # type: ignore[arg-type]
    for (one, value), (other, another) in [*pairwise(criteria), *combinations(criteria[::2], 2)]:
        if one != other:
            yield Filter(**{one: value, other: another})  # type: ignore[arg-type]


async def found(store: Store, criteria: Filter, *, limit: int = 1000, serial_max: int | None = None) -> list[Record]:
    """Return the records that a filter matches, read page by page."""
    records: list[Record] = []
    given = msgspec.structs.asdict(criteria)
    cursor: str | None = None
    while True:
        page = await store.page(PageRequest(**given, limit=limit, cursor=cursor, serial_max=serial_max))
        expect(len(page.records) <= limit, f"a page of {limit} has {len(page.records)} records")
        records += page.records
        cursor = page.next_cursor
        if cursor is None:
            return records


async def _expect_found(store: Store, everything: Sequence[Record], criteria: Filter, limit: int) -> None:
    wanted = [record.id for record in everything if criteria.matches(record)]
    records = [record.id for record in await found(store, criteria, limit=limit)]
    expect(records == wanted, f"pages of {limit} of {criteria} have {records} instead of {wanted}")


@guarantee("finding", "A listing has the records that match every criterion, in listing order.", promise=_MATCHES)
async def every_criterion(place: Place) -> None:
    async with place.open() as store:
        everything = await _one_of_each(store)
        for criteria in _filters(everything):
            await _expect_found(store, everything, criteria, 1000)


@guarantee("finding", "Pages of a listing with criteria have each matching record once.", promise=_MATCHES)
async def pages_with_criteria(place: Place) -> None:
    async with place.open() as store:
        everything = await _one_of_each(store)
        for criteria in _filters(everything):
            for limit in (1, 2):
                await _expect_found(store, everything, criteria, limit)


@guarantee("finding", "A record is found among many that do not match, however few a page examines.", promise=_CUT)
async def one_among_many(place: Place) -> None:
    async with place.open(queue_size=12_000) as store:
        for first in range(0, 12_000, 1000):
            await accept(store, *(Task(f"task-{number}") for number in range(first, first + 999)))
            if first in (0, 11_000):
                await accept(store, Task(f"wanted-{first}", tags=("wanted",)))
        for criteria in (Filter(tags=("wanted",)), Filter(name_prefix="wanted-")):
            names = [record.task.name for record in await found(store, criteria)]
            wanted = ["wanted-0", "wanted-11000"]
            expect(names == wanted, f"{criteria} finds {names} among 12,000 tasks instead of {wanted}")


@guarantee("finding", "Each task that stays is listed once while others come and go between pages.", promise=_CUT)
async def found_while_others_change(place: Place) -> None:
    async with place.open() as store:
        await accept(store, *(Task(f"stays-{number}", priority=-1, tags=("x",)) for number in range(9)))
        await accept(store, *(Task(f"goes-{number}", tags=("x", "y")[number % 2 :]) for number in range(9)))
        names: list[str] = []
        cursor: str | None = None
        for turn in range(40):
            page = await store.page(PageRequest(tags=("x",), limit=2, cursor=cursor))
            names += [name for record in page.records if (name := record.task.name).startswith("stays")]
            cursor = page.next_cursor
            if cursor is None:
                break
            if turn < 9:
                [running] = await start(store)
                await end(store, running)
            if turn % 3 == 2:
                await accept(store, Task(f"comes-{turn}", priority=(-2, 1)[turn % 2], tags=("x",)))
        wanted = [f"stays-{number}" for number in range(9)]
        expect(names == wanted, f"the pages have {names} instead of {wanted}")


@guarantee("finding", "A listing can leave out the tasks that were accepted after its first page.", promise=_LATER)
async def accepted_later(place: Place) -> None:
    async with place.open() as store:
        first = await store.page(PageRequest())
        await accept(store, Task("a"), Task("b", delay=600_000), Task("c"))
        [running] = await start(store)
        serial_max = (await store.page(PageRequest(limit=1))).serial_last
        await accept(store, Task("a", on_conflict="latest"), Task("d"), Task("e", delay=600_000))
        await end(store, running)
        for limit in (1, 1000):
            names = [record.task.name for record in await found(store, Filter(), limit=limit, serial_max=serial_max)]
            expect(names == ["b", "c", "a"], f"of the tasks a, b and c, pages of {limit} list {names}")
        earlier = await found(store, Filter(), serial_max=first.serial_last)
        expect(not earlier, f"before the first task was accepted there were {earlier}")
        pending = await found(store, Filter(State.PENDING), serial_max=serial_max)
        expect([record.task.name for record in pending] == ["c"], f"the pending tasks of a, b and c are {pending}")
