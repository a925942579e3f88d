"""Moving tasks from file to file: all of them, to one place only, wherever the move is cut short."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import trio

from pexecutor import Ending, ExpiredTaskError, Finished, LocalStore, Outcome, PageRequest, Record, Running, State, Task
from pexecutor.conformance.asking import accept, start
from pexecutor.errors import UnusableStoreError
from pexecutor.server import unwrapped_unusable_store
from pexecutor.stores.moves.marks import Mark
from pexecutor.stores.moves.move import Moved, Side, Terms, move, undo
from pexecutor.stores.moves.renumbering import More
from pexecutor.stores.moves.sqlite_side import FileSide
from pexecutor.stores.sqlite.database import Database, connect
from pexecutor.stores.sqlite.journal import SqliteJournal


@asynccontextmanager
async def serving(path: Path) -> AsyncIterator[LocalStore]:
    """A store as a server has it."""
    store = LocalStore(journal=SqliteJournal(Database(path)))
    with unwrapped_unusable_store():
        async with store.opened():
            yield store


async def everything(store: LocalStore) -> list[Record]:
    return (await store.page(PageRequest())).records


async def in_flight(path: Path) -> list[tuple[str, str, int]]:
    async with serving(path) as store:
        return [
            (record.id, type(record).__name__, record.task.priority)
            for record in await everything(store)
            if not isinstance(record, Finished)
        ]


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return tmp_path / "here.db"


@pytest.fixture
def there(tmp_path: Path) -> Path:
    return tmp_path / "there.db"


@pytest.fixture
async def full(here: Path) -> list[Record]:
    """A store with tasks in every state but running; what it holds."""
    async with serving(here) as store:
        await accept(store, Task("ended"), Task("retried", retries=3, retry_delay=60_000), Task("a"))
        ended, retried, a = await start(store, 3)
        ending = Ending(Outcome.FAILED, "so", False, 0.0, b'{"exit_code":1}', b'{"stdout":"x"}')
        await store.finish([(ended, ending), (retried, Ending(Outcome.FAILED, "not yet", retry_after_seconds=600))])
        await accept(store, Task("a", duration=7, on_conflict="latest"))
        await accept(store, Task("later", delay=600_000), Task("low", priority=-3), Task("b", params={"x": [1]}))
        await store.release([a])
        return await everything(store)


async def move_files(here: Path, there: Path, *, dry_run: bool = False, **terms: Any) -> Moved:
    source, target = FileSide(here, must_exist=True), FileSide(there, must_exist=False)
    async with source.opened(), target.opened():
        return await move(source, target, Terms(**terms), dry_run=dry_run)


async def test_everything_in_flight_goes_as_it_is(full: list[Record], here: Path, there: Path) -> None:
    moved = await move_files(here, there)
    assert moved.in_flight == {"scheduled": 2, "following": 1, "pending": 3}
    assert (moved.history, moved.history_left, moved.ids_kept) == (0, 1, True)
    async with serving(there) as store:
        assert await everything(store) == full[:-1]
        with pytest.raises(ExpiredTaskError):
            await store.get(full[-1].id)
        [new] = await accept(store, Task("new"))
        assert int(new.id.split("-")[1]) > max(int(record.id.split("-")[1]) for record in full), "ids go on"


async def test_history_goes_along_if_it_is_to(full: list[Record], here: Path, there: Path) -> None:
    moved = await move_files(here, there, history=True)
    assert (moved.history, moved.history_left) == (1, 0)
    async with serving(there) as store:
        assert await everything(store) == full


async def test_a_store_that_was_moved_away_is_not_served(full: list[Record], here: Path, there: Path) -> None:
    await move_files(here, there)
    with pytest.raises(UnusableStoreError, match=rf"{here} have been moved to sqlite:{there}: serve that store"):
        await in_flight(here)
    with pytest.raises(UnusableStoreError, match=f"have been moved to sqlite:{there}"):
        await move_files(here, there)


async def test_there_and_back(full: list[Record], here: Path, there: Path) -> None:
    await move_files(here, there)
    async with serving(there) as store:
        [new] = await accept(store, Task("new"))
    await move_files(there, here)
    async with serving(here) as store:
        found = await everything(store)
        assert sorted(found, key=lambda record: record.serial) == sorted([*full, new], key=lambda r: r.serial)
    with pytest.raises(UnusableStoreError, match="serve that store"):
        await in_flight(there)
    await move_files(here, there)
    assert len(await in_flight(there)) == 7


async def test_a_dry_run_changes_nothing(full: list[Record], here: Path, there: Path) -> None:
    moved = await move_files(here, there, dry_run=True)
    assert not await trio.Path(there).exists()
    assert await move_files(here, there) == moved


async def test_a_file_of_the_first_version_is_only_read_by_a_dry_run(here: Path, there: Path) -> None:
    async with serving(here) as store:
        await accept(store, Task("a"))
    connection = connect(here)
    connection.execute("DROP TABLE moves")
    for table in ("damaged", "deliveries", "damaged_deliveries", "limits", "damaged_limits"):
        connection.execute(f"DROP TABLE {table}")
    connection.execute("DROP TABLE answers")
    connection.execute("DROP TABLE damaged_answers")
    connection.execute("DROP TABLE schedules")
    connection.execute("DROP TABLE damaged_schedules")
    connection.execute("ALTER TABLE store DROP COLUMN generations")
    connection.execute("ALTER TABLE tasks DROP COLUMN rare")
    connection.execute("ALTER TABLE store DROP COLUMN in_use")
    connection.execute("PRAGMA user_version = 1")
    await move_files(here, there, dry_run=True)
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    connection.close()
    await move_files(here, there)
    assert len(await in_flight(there)) == 1


class TestRefused:
    async def test_a_source_in_use(self, full: list[Record], here: Path, there: Path) -> None:
        async with serving(here):
            with pytest.raises(UnusableStoreError, match=f"{here} is in use by the server with pid"):
                await move_files(here, there)

    async def test_a_target_in_use(self, full: list[Record], here: Path, there: Path) -> None:
        async with serving(there):
            with pytest.raises(UnusableStoreError, match=f"{there} is in use by the server with pid"):
                await move_files(here, there)

    async def test_no_source(self, here: Path, there: Path) -> None:
        with pytest.raises(UnusableStoreError, match="there is no file"):
            await move_files(here, there)

    async def test_a_source_without_a_store(self, here: Path, there: Path) -> None:
        await trio.Path(here).touch()
        with pytest.raises(UnusableStoreError, match=f"{here} is an empty file"):
            await move_files(here, there)

    async def test_itself(self, full: list[Record], here: Path) -> None:
        with pytest.raises(UnusableStoreError, match="is in use by"):
            await move_files(here, here)

    async def test_tasks_that_ran(self, here: Path, there: Path) -> None:
        async with serving(here) as store:
            await accept(store, Task("a"), Task("b"))
            await start(store, 2)
        with pytest.raises(UnusableStoreError, match=r"2 tasks \('a', 'b'\) in .* ran when the server died"):
            await move_files(here, there)

    async def test_a_target_with_tasks(self, full: list[Record], here: Path, there: Path) -> None:
        async with serving(there) as store:
            [theirs] = await accept(store, Task("theirs"))
        with pytest.raises(UnusableStoreError, match=r"there.db has tasks in flight, a task \('theirs'\)"):
            await move_files(here, there)
        async with serving(there) as store:
            await store.cancel(theirs.id)
            await accept(store, Task("a"))
        with pytest.raises(UnusableStoreError, match="the name 'a' is held in both"):
            await move_files(here, there)

    async def test_a_queue_that_is_too_small(self, full: list[Record], here: Path, there: Path) -> None:
        with pytest.raises(UnusableStoreError, match=r"6 tasks wait .* has 5 places: .* --queue-size 6"):
            await move_files(here, there, queue_size=5)
        await move_files(here, there, queue_size=6)

    async def test_new_ids(self, full: list[Record], here: Path, there: Path) -> None:
        async with serving(there) as store:
            [theirs] = await accept(store, Task("theirs"))
            await store.cancel(theirs.id)
        with pytest.raises(UnusableStoreError, match="has given out ids of its own"):
            await move_files(here, there)
        assert not (await move_files(here, there, new_ids=True, history=True)).ids_kept
        async with serving(there) as store:
            found = await everything(store)
            tag = theirs.id.split("-")[0]
            assert [record.id for record in found if isinstance(record, Finished)] == [theirs.id, f"{tag}-2"]
            assert sorted(record.id for record in found) == [f"{tag}-{number}" for number in range(1, 9)]
            a = await start(store, 1)
            await store.finish([(a[0], Ending(Outcome.SUCCEEDED))])
            [followed] = [record for record in await everything(store) if record.task.duration == 7]
            assert followed.state is State.PENDING, "it follows by the new ids"

    async def test_nothing_of_it_is_done(self, full: list[Record], here: Path, there: Path) -> None:
        with pytest.raises(UnusableStoreError):
            await move_files(here, there, queue_size=5)
        assert not await trio.Path(there).exists()
        async with serving(here) as store:
            assert await everything(store) == full

    async def test_a_copy_that_went_its_own_way(self, full: list[Record], here: Path, there: Path) -> None:
        await trio.Path(there).write_bytes(await trio.Path(here).read_bytes())
        async with serving(there) as store:
            for record in await everything(store):
                if not isinstance(record, Finished):
                    await store.cancel(record.id)
        with pytest.raises(UnusableStoreError, match="other tasks with the same ids"):
            await move_files(here, there)
        await undo_files(here, there)
        async with serving(here) as store:
            assert await everything(store) == full


async def test_a_copy_that_was_ahead_goes_on_behind_its_own_last_id(here: Path, there: Path) -> None:
    async with serving(here) as store:
        [task] = await accept(store, Task("a", delay=600_000, keep=0))
    await trio.Path(there).write_bytes(await trio.Path(here).read_bytes())
    async with serving(there) as store:
        await store.cancel(task.id)
        for record in await accept(store, Task("b", keep=0), Task("c", keep=0)):
            await store.cancel(record.id)
    await move_files(here, there)
    async with serving(there) as store:
        [new] = await accept(store, Task("new"))
        assert new.id == task.id.replace("-1", "-4")


async def test_what_ran_is_settled_as_a_start_would(here: Path, there: Path) -> None:
    left: list[str] = []
    async with serving(here) as store:
        await accept(store, Task("again"), Task("once", on_crash="fail"))
        await start(store, 2)

    async def end_leftovers(running: Sequence[Running]) -> None:
        left.extend(record.task.name for record in running)

    source = FileSide(here, must_exist=True, end_leftovers=end_leftovers)
    target = FileSide(there, must_exist=False)
    async with source.opened(), target.opened():
        assert (await move(source, target, Terms(recover=True), dry_run=True)).in_flight == {"running": 2}
        assert not left
        moved = await move(source, target, Terms(recover=True, history=True))
    assert (moved.in_flight, moved.history) == ({"pending": 1}, 1)
    assert left == ["again", "once"]
    async with serving(there) as store:
        [again, once] = await everything(store)
        assert again.task.name == "again"
        assert isinstance(once, Finished)
        assert once.outcome is Outcome.ABANDONED


# A move that is cut short


class CutShortError(Exception):
    """The process has died here."""


class Mortal:
    """A side that dies at its n-th step, before it or after it; both sides count together."""

    def __init__(self, side: FileSide, deaths: Callable[[], None]) -> None:
        self._side = side
        self._deaths = deaths

    def __getattr__(self, name: str) -> Any:
        return getattr(self._side, name)

    async def _step(self, call: Callable[[], Awaitable[None]]) -> None:
        self._deaths()
        await call()
        self._deaths()

    async def recover(self) -> None:
        await self._step(self._side.recover)

    async def seal(self, mark: Mark) -> None:
        await self._step(lambda: self._side.seal(mark))

    async def let_go(self, mark: Mark) -> None:
        await self._step(lambda: self._side.let_go(mark))

    async def adopt(self, mark: Mark, identity: Any, more: More, **others: Any) -> None:
        async def mortal_more() -> Sequence[Record]:
            some = await more()
            if not some:
                self._deaths()
            return some

        await self._step(lambda: self._side.adopt(mark, identity, mortal_more, **others))


def death_at(step: int) -> Callable[[], None]:
    steps = count(1)

    def die_if_it_is_time() -> None:
        if next(steps) == step:
            raise CutShortError

    return die_if_it_is_time


async def move_mortally(here: Path, there: Path, step: int) -> bool:
    """Whether the move came to its end."""
    source, target = FileSide(here, must_exist=True), FileSide(there, must_exist=False)
    deaths = death_at(step)
    mortals: tuple[Side, Side] = (Mortal(source, deaths), Mortal(target, deaths))
    async with source.opened(), target.opened():
        try:
            await move(*mortals, Terms(history=True))
        except CutShortError:
            return False
    return True


async def is_served(path: Path) -> bool:
    try:
        return bool(await in_flight(path))
    except UnusableStoreError:
        return False


@pytest.mark.parametrize("step", range(1, 8))
async def test_cut_short_it_is_completed_by_the_same_command(
    full: list[Record], here: Path, there: Path, step: int
) -> None:
    """Steps: before and after sealing, before adopting, in it, after it, before and after letting go."""
    ended = await move_mortally(here, there, step)
    assert not ended
    assert sorted([await is_served(here), await is_served(there)]) in ([False, True], [False, False])
    assert not await is_served(here) or step == 1, "only before it is sealed"
    if step < 7:
        moved = await move_files(here, there, history=step == 1)  # from the first mark on it is known what goes along
        assert (moved.history, moved.history_left) == (1, 0)
    async with serving(there) as store:
        assert await everything(store) == full
    assert not await is_served(here)


async def test_the_steps_are_all_of_them(full: list[Record], here: Path, there: Path) -> None:
    assert await move_mortally(here, there, 8)


async def undo_files(here: Path, there: Path) -> None:
    source, target = FileSide(here, must_exist=True), FileSide(there, must_exist=False)
    async with source.opened(), target.opened():
        await undo(source, target)


@pytest.mark.parametrize("step", [2, 3, 4])
async def test_before_it_has_arrived_it_can_be_undone(full: list[Record], here: Path, there: Path, step: int) -> None:
    await move_mortally(here, there, step)
    await undo_files(here, there)
    async with serving(here) as store:
        assert await everything(store) == full
    await move_files(here, there)


async def test_once_it_has_arrived_it_cannot_be_undone(full: list[Record], here: Path, there: Path) -> None:
    await move_mortally(here, there, 5)
    with pytest.raises(UnusableStoreError, match="already: complete the move"):
        await undo_files(here, there)


async def test_there_may_be_nothing_to_undo(full: list[Record], here: Path, there: Path) -> None:
    with pytest.raises(UnusableStoreError, match="is not being moved"):
        await undo_files(here, there)


async def test_what_has_arrived_is_not_moved_again(full: list[Record], here: Path, there: Path) -> None:
    """Also when the target has been served meanwhile, and its tasks have ended."""
    await move_mortally(here, there, 5)
    async with serving(there) as store:
        for record in await everything(store):
            if not isinstance(record, Finished):
                await store.cancel(record.id)
    await move_files(here, there)
    assert not await in_flight(there)


async def test_a_move_that_is_under_way_goes_nowhere_else(
    full: list[Record], here: Path, there: Path, tmp_path: Path
) -> None:
    await move_mortally(here, there, 3)
    with pytest.raises(UnusableStoreError, match=f"is being moved to sqlite:{there}: complete that move first"):
        await move_files(here, tmp_path / "elsewhere.db")
    async with serving(tmp_path / "third.db") as store:
        await accept(store, Task("third"))
    with pytest.raises(UnusableStoreError, match=f"{here} is being moved to"):
        await move_files(tmp_path / "third.db", here)
    with pytest.raises(UnusableStoreError, match="complete the move with the same `pexecutor move`"):
        await in_flight(here)
