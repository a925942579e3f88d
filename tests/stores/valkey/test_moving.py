"""Moving tasks between a file and a queue on a real server, and what comes of a move that is cut short there."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import trio

from pexecutor import Finished, PageRequest, Record, Task
from pexecutor.conformance.asking import accept, until
from pexecutor.conformance.shared import ValkeyPlace
from pexecutor.errors import StoreUnavailableError, UnusableStoreError
from pexecutor.server import unwrapped_unusable_store
from pexecutor.stores import Store, valkey
from pexecutor.stores.deliveries import Delivery
from pexecutor.stores.moves import valkey_side
from pexecutor.stores.moves.move import Terms, move, undo
from pexecutor.stores.moves.sqlite_side import FileSide
from pexecutor.stores.moves.valkey_side import QueueSide
from pexecutor.stores.schedules import Fired, Schedule
from pexecutor.stores.valkey.wire import KeepSeconds

from ..moves.test_move import CutShortError, death_at, everything, full, here, is_served, serving, there
from ..moves.test_move_deliveries import deliveries_in, deliveries_of, finish_all, notified
from ..moves.test_move_schedules import HOURLY, put_some, scheduled, schedules_in, schedules_of
from .conftest import KEEPS_ALL
from .server import ValkeyServer, valkey_server
from .test_conformance import address_of

__all__ = ["full", "here", "notified", "scheduled", "there"]


@pytest.fixture
def queue() -> str:
    return f"test-{secrets.token_hex(4)}"


@asynccontextmanager
async def node(server: ValkeyServer, queue: str) -> AsyncIterator[Store]:
    """A store as a server has it."""
    store = valkey.make_store(address_of(server), queue, lease_seconds=3.0)
    with unwrapped_unusable_store():
        async with store.opened():
            yield store


async def listed(server: ValkeyServer, queue: str) -> list[Record]:
    async with node(server, queue) as store:
        return (await store.page(PageRequest())).records


async def schedules_there(server: ValkeyServer, queue: str) -> list[Schedule]:
    async with node(server, queue) as store:
        return await schedules_of(store)


def side(server: ValkeyServer, queue: str, *, may_forget: bool = False) -> QueueSide:
    return QueueSide(
        address_of(server), queue, keep_seconds_max=KeepSeconds(604_800.0, 2_592_000.0), may_forget=may_forget
    )


@asynccontextmanager
async def sides(path: Path, server: ValkeyServer, queue: str) -> AsyncIterator[tuple[FileSide, QueueSide]]:
    file, shared = FileSide(path, must_exist=False), side(server, queue)
    with unwrapped_unusable_store():
        async with file.opened(), shared.opened():
            yield file, shared


async def test_there_and_back(full: list[Record], here: Path, there: Path, server: ValkeyServer, queue: str) -> None:
    async with sides(here, server, queue) as (file, shared):
        moved = await move(file, shared, Terms(history=True))
    assert moved.ids_kept
    assert await listed(server, queue) == full
    async with node(server, queue) as store:
        [new] = await accept(store, Task("new"))
        assert int(new.id.split("-")[1]) > max(int(record.id.split("-")[1]) for record in full), "ids go on"
    async with sides(there, server, queue) as (file, shared):
        await move(shared, file, Terms(history=True))
    async with serving(there) as local:
        found = await everything(local)
    assert sorted(found, key=lambda record: record.serial) == sorted([*full, new], key=lambda record: record.serial)
    with pytest.raises(UnusableStoreError, match=f"have been moved to sqlite:{there}: serve that store"):
        await listed(server, queue)


async def test_schedules_go_there_and_back(
    scheduled: list[Schedule], here: Path, there: Path, server: ValkeyServer, queue: str
) -> None:
    async with sides(here, server, queue) as (file, shared):
        assert (await move(file, shared, Terms())).schedules == 3
    assert await schedules_in_file(here) == []
    assert await schedules_there(server, queue) == scheduled
    async with node(server, queue) as store:
        new = await store.schedules.put(Schedule("new", HOURLY))
        assert new is not None
        assert new.generation > max(schedule.generation for schedule in scheduled)
        assert store.statistics().schedules == 4
    async with sides(there, server, queue) as (file, shared):
        await move(shared, file, Terms())
    assert await schedules_in(there) == sorted([*scheduled, new], key=lambda schedule: schedule.name)
    for key in ("schedule", "definition", "schedules", "upcoming", "schedule_arrivals"):
        assert server.command("EXISTS", f"pexecutor:{{{queue}}}:{key}") == b":0\r\n", key


async def test_deliveries_go_there_and_back(
    notified: list[Delivery], here: Path, there: Path, server: ValkeyServer, queue: str
) -> None:
    async with sides(here, server, queue) as (file, shared):
        assert (await move(file, shared, Terms())).deliveries == len(notified)
    async with node(server, queue) as store:
        assert await deliveries_of(store) == notified
        assert store.statistics().deliveries == len(notified)
        await finish_all(store)  # the tasks bring what they brought in the file
        after = await deliveries_of(store)
    assert len(after) > len(notified)
    async with sides(there, server, queue) as (file, shared):
        await move(shared, file, Terms())
    assert await deliveries_in(there) == after
    for key in ("delivery", "deliveries", "deliveries:targets", "deliveries:due", "delivery_arrivals"):
        assert server.command("EXISTS", f"pexecutor:{{{queue}}}:{key}") == b":0\r\n", key


async def schedules_in_file(path: Path) -> list[Schedule]:
    """Return the schedules in a file that is not served."""
    file = FileSide(path, must_exist=True)
    async with file.opened():
        return await file.schedules()


async def test_schedules_that_fired_in_the_queue_name_their_tasks(
    there: Path, server: ValkeyServer, queue: str
) -> None:
    async with node(server, queue) as store:
        scheduled = await put_some(store)
        names = {record.id for record in (await store.page(PageRequest())).records}
    fired = scheduled[-1].occurrences[-1]
    assert isinstance(fired, Fired)
    assert fired.task_id in names
    async with sides(there, server, queue) as (file, shared):
        await move(shared, file, Terms())
    assert await schedules_in(there) == scheduled


async def test_a_damaged_schedule_stays_behind(there: Path, server: ValkeyServer, queue: str) -> None:
    async with node(server, queue) as store:
        scheduled = await put_some(store)
    key = f"pexecutor:{{{queue}}}"
    server.command("HSET", f"{key}:definition", "paused", '{"every":1000}')
    async with sides(there, server, queue) as (file, shared):
        assert (await move(shared, file, Terms())).schedules == 2
    assert await schedules_in(there) == [one for one in scheduled if one.name != "paused"]
    assert b"the definition of a schedule cannot be read" in server.command("LRANGE", f"{key}:damaged", "0", "-1")


@pytest.mark.parametrize("is_back", [False, True], ids=["there", "back"])
async def test_cut_short_it_is_completed_by_the_same_command(
    full: list[Record],
    scheduled: list[Schedule],
    here: Path,
    tmp_path: Path,
    server: ValkeyServer,
    is_back: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a death before and after each call to the server, in turn."""
    monkeypatch.setattr(valkey_side, "RECORDS_A_CALL", 2)
    monkeypatch.setattr(valkey_side, "SCHEDULES_A_CALL", 2)
    everything_here = await everything_in(here)
    for step in count(1):
        path, queue = tmp_path / f"{step}.db", f"test-{secrets.token_hex(4)}"
        await trio.Path(path).write_bytes(await trio.Path(here).read_bytes())
        if is_back:
            async with sides(path, server, queue) as (file, shared):
                await move(file, shared, Terms(history=True))
        is_cut = await move_until(step, path, server, queue, is_back=is_back)
        served = [await is_served(path), await is_served_there(server, queue)]
        assert served != [True, True], f"cut short at step {step}, both have the tasks"
        if served != [is_back, not is_back]:
            async with sides(path, server, queue) as (file, shared):
                await move(shared if is_back else file, file if is_back else shared, Terms(history=True))
        assert [await is_served(path), await is_served_there(server, queue)] == [is_back, not is_back]
        assert await (everything_in(path) if is_back else listed(server, queue)) == everything_here
        assert await (schedules_in(path) if is_back else schedules_there(server, queue)) == scheduled
        if not is_cut:
            break
    assert step > 20


async def move_until(step: int, path: Path, server: ValkeyServer, queue: str, *, is_back: bool) -> bool:
    """Move, and die at this step; whether it came to that."""
    async with sides(path, server, queue) as (file, shared):
        deaths, call = death_at(step), shared._link.call

        async def mortal_call(verb: str, *arguments: Any) -> bytes:
            deaths()
            reply = await call(verb, *arguments)
            deaths()
            return reply

        shared._link.call = mortal_call  # type: ignore[method-assign]
        try:
            await move(shared if is_back else file, file if is_back else shared, Terms(history=True))
        except CutShortError:
            return True
    return False


async def everything_in(path: Path) -> list[Record]:
    async with serving(path) as store:
        return await everything(store)


async def is_served_there(server: ValkeyServer, queue: str) -> bool:
    try:
        return bool(await listed(server, queue))
    except UnusableStoreError:
        return False


async def test_before_it_has_arrived_it_can_be_undone(
    full: list[Record], here: Path, server: ValkeyServer, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(valkey_side, "RECORDS_A_CALL", 2)
    assert await move_until(21, here, server, queue, is_back=False)
    with pytest.raises(UnusableStoreError, match=f"tasks of sqlite:{here} are being moved to"):
        await listed(server, queue)
    async with sides(here, server, queue) as (file, shared):
        await undo(file, shared)
    assert await everything_in(here) == full
    assert not await listed(server, queue)
    async with sides(here, server, queue) as (file, shared):
        await move(file, shared, Terms(history=True))
    assert await listed(server, queue) == full


async def test_schedules_that_have_arrived_are_undone(
    scheduled: list[Schedule], here: Path, server: ValkeyServer, queue: str
) -> None:
    async with node(server, queue) as store:
        await store.schedules.put(Schedule("theirs", HOURLY))
        [theirs] = await schedules_of(store)
        assert await store.schedules.remove("theirs", theirs.generation)
    async with sides(here, server, queue) as (file, shared):
        call = shared._link.call

        async def mortal_call(verb: str, *arguments: Any) -> bytes:
            if verb == "settle":
                raise CutShortError
            return await call(verb, *arguments)

        shared._link.call = mortal_call  # type: ignore[method-assign]
        with pytest.raises(CutShortError):
            await move(file, shared, Terms())
    async with sides(here, server, queue) as (file, shared):
        assert await shared.schedules() == scheduled
        await undo(file, shared)
    assert await schedules_in(here) == scheduled
    assert await schedules_there(server, queue) == []


async def test_nodes_at_work_refuse_it(full: list[Record], here: Path, server: ValkeyServer, queue: str) -> None:
    async with node(server, queue):
        await wait_for_node(server, queue)
        with pytest.raises(UnusableStoreError, match="is in use by 1 node "):
            async with sides(here, server, queue):
                pass


async def wait_for_node(server: ValkeyServer, queue: str) -> None:
    async with node(server, queue) as other:
        await until(lambda: _has_two_nodes(other), "the other node is not there")


async def _has_two_nodes(store: Store) -> bool:
    return len(await store.nodes()) == 2


async def test_a_node_that_slept_through_it_changes_nothing(
    full: list[Record], here: Path, there: Path, server: ValkeyServer, queue: str
) -> None:
    """It is open all the time, and was taken for dead."""
    async with sides(here, server, queue) as (file, shared):
        await move(file, shared, Terms())
    place = ValkeyPlace(address_of(server), queue)
    async with place.open() as sleeper:
        await place.cut(sleeper)
        await until(lambda: can_be_moved(server, queue), "its lease does not end", seconds=8)
        async with sides(there, server, queue) as (file, shared):
            await move(shared, file, Terms())
        await place.mend(sleeper)
        with pytest.raises(StoreUnavailableError, match="the tasks of this queue have been moved to"):
            await sleeper.submit([Task("new")])


async def can_be_moved(server: ValkeyServer, queue: str) -> bool:
    try:
        with unwrapped_unusable_store():
            async with side(server, queue).opened():
                return True
    except UnusableStoreError:
        return False


async def test_a_power_cut_there_meanwhile_is_not_overlooked(
    full: list[Record], here: Path, queue: str, tmp_path: Path, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(valkey_side, "RECORDS_A_CALL", 1)
    with valkey_server(tmp_path / "own", *KEEPS_ALL, program=program) as server:
        async with sides(here, server, queue) as (file, shared):
            arrive, arrived = shared._arrive, count()

            async def arrive_and_forget(records: Sequence[Record]) -> None:
                if next(arrived) == 0:
                    with server.losing_what_comes_now():
                        await arrive(records)
                else:
                    await arrive(records)

            shared._arrive = arrive_and_forget  # type: ignore[method-assign]
            with pytest.raises(UnusableStoreError, match="restarted or replaced"):
                await move(file, shared, Terms(history=True))
        async with sides(here, server, queue) as (file, shared):
            await move(file, shared, Terms(history=True))
        assert await listed(server, queue) == full


async def test_a_server_that_forgets_is_refused(full: list[Record], here: Path, queue: str, tmp_path: Path) -> None:
    with valkey_server(tmp_path, "--appendonly", "no") as forgetful:
        with pytest.raises(UnusableStoreError, match=r"has no append-only file.* add --volatile"):
            async with sides(here, forgetful, queue):
                pass
        shared = side(forgetful, queue, may_forget=True)
        file = FileSide(here, must_exist=True)
        async with file.opened(), shared.opened():
            await move(file, shared, Terms(history=True))
        assert await listed(forgetful, queue) == full


async def test_tasks_of_two_stores(
    full: list[Record], here: Path, there: Path, server: ValkeyServer, queue: str
) -> None:
    async with node(server, queue) as store:
        [theirs] = await accept(store, Task("theirs"))
    async with sides(here, server, queue) as (file, shared):
        with pytest.raises(UnusableStoreError, match=r"has tasks in flight, a task \('theirs'\)"):
            await move(file, shared, Terms())
    async with node(server, queue) as store:
        await store.cancel(theirs.id)
    async with sides(here, server, queue) as (file, shared):
        with pytest.raises(UnusableStoreError, match="has given out ids of its own"):
            await move(file, shared, Terms())
        assert not (await move(file, shared, Terms(new_ids=True))).ids_kept
    found = await listed(server, queue)
    assert sorted(int(record.id.split("-")[1]) for record in found) == list(range(1, 8))
    assert [record.task.name for record in found if isinstance(record, Finished)] == ["theirs"]
