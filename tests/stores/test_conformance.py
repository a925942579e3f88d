"""Each store keeps each promise of the contract, and the suite tells a store that does not."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from pexecutor import LocalStore, stores
from pexecutor.conformance import GUARANTEES, Finding, Guarantee, Need, Place, Standing, Subject, try_all
from pexecutor.conformance.subjects import MemorySubject, SqliteSubject
from pexecutor.conformance.trial import try_one
from pexecutor.errors import UnusableStoreError
from pexecutor.stores import deliveries, limits, schedules
from pexecutor.stores.local import submission
from pexecutor.stores.sqlite.journal import SqliteJournal

from ..conftest import virtual_now
from .broken import BROKEN, BROKEN_CRASHES, BROKEN_JOURNALS, GivesATaskTwice, SharedByPretence, SharedWithoutLeases
from .broken_answers import BROKEN_ANSWERS
from .broken_deliveries import BROKEN_DELIVERIES, BROKEN_KEPT_DELIVERIES
from .broken_finding import BROKEN_FINDING, PLANTED_IN_FINDING, PLANTED_IN_KEPT_FINDING
from .broken_limits import BROKEN_LIMITS, BROKEN_PAUSES
from .broken_schedules import BROKEN_KEPT_SCHEDULES, BROKEN_SCHEDULES, Plant

each_guarantee = pytest.mark.parametrize("guarantee", GUARANTEES, ids=lambda guarantee: guarantee.name)
BY_NAME = {guarantee.name: guarantee for guarantee in GUARANTEES}
BROKEN_STORES = BROKEN | BROKEN_FINDING
PLANTED_IN_MEMORY = BROKEN_SCHEDULES | BROKEN_LIMITS | BROKEN_PAUSES | BROKEN_DELIVERIES | PLANTED_IN_FINDING
PLANTED_IN_FILES = (
    BROKEN_CRASHES | BROKEN_ANSWERS | BROKEN_KEPT_SCHEDULES | BROKEN_KEPT_DELIVERIES | PLANTED_IN_KEPT_FINDING
)
SHARING = [guarantee for guarantee in GUARANTEES if Need.SHARED in guarantee.needs]


def virtual(store: type[LocalStore]) -> Callable[..., LocalStore]:
    """The same on a clock that need not be waited for."""
    return partial(store, now=virtual_now)


async def try_in(subject: Subject, guarantee: Guarantee) -> Finding:
    async with subject.opened():
        return await try_one(subject, guarantee)


@each_guarantee
async def test_in_memory(guarantee: Guarantee, autojump_clock: MockClock) -> None:
    finding = await try_in(MemorySubject(virtual(LocalStore)), guarantee)
    assert finding.standing is (Standing.DOES_NOT_APPLY if guarantee.needs else Standing.HOLDS), finding.reason


@each_guarantee
async def test_in_a_file(guarantee: Guarantee, tmp_path: Path) -> None:
    finding = await try_in(SqliteSubject(tmp_path), guarantee)
    applies = Need.SHARED not in guarantee.needs
    assert finding.standing is (Standing.HOLDS if applies else Standing.DOES_NOT_APPLY), finding.reason


@pytest.mark.parametrize("store", BROKEN_STORES, ids=lambda store: store.__name__)
async def test_a_store_that_breaks_a_promise_is_told(store: type[LocalStore], autojump_clock: MockClock) -> None:
    finding = await try_in(MemorySubject(virtual(store)), BY_NAME[BROKEN_STORES[store]])
    assert finding.standing is Standing.BROKEN


@pytest.mark.parametrize("journal", BROKEN_JOURNALS, ids=lambda journal: journal.__name__)
async def test_a_store_that_keeps_too_little_is_told(journal: type[SqliteJournal], tmp_path: Path) -> None:
    finding = await try_in(SqliteSubject(tmp_path, make_journal=journal), BY_NAME[BROKEN_JOURNALS[journal]])
    assert finding.standing is Standing.BROKEN


@pytest.mark.parametrize("plant", PLANTED_IN_MEMORY, ids=lambda plant: plant.__name__)
async def test_a_bug_in_memory_is_told(
    plant: Plant, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    finding = await try_in(MemorySubject(virtual(LocalStore)), BY_NAME[PLANTED_IN_MEMORY[plant]])
    assert finding.standing is Standing.BROKEN


@pytest.mark.parametrize("plant", PLANTED_IN_FILES, ids=lambda plant: plant.__name__)
async def test_a_bug_in_a_file_is_told(plant: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    finding = await try_in(SqliteSubject(tmp_path), BY_NAME[PLANTED_IN_FILES[plant]])
    assert finding.standing is Standing.BROKEN


@pytest.mark.parametrize("guarantee", SHARING, ids=lambda guarantee: guarantee.name)
async def test_nodes_that_share_too_little_are_told(guarantee: Guarantee, autojump_clock: MockClock) -> None:
    findings = [
        await try_in(SharedByPretence(virtual(LocalStore)), guarantee),
        await try_in(SharedWithoutLeases(virtual(LocalStore)), guarantee),
        await try_in(SharedWithoutLeases(virtual(GivesATaskTwice)), guarantee),
    ]
    assert Standing.BROKEN in [finding.standing for finding in findings]


@each_guarantee
def test_each_guarantee_is_in_the_contract(guarantee: Guarantee) -> None:
    parts = (stores, schedules, deliveries, limits, submission)
    contract = " ".join(" ".join(str(part.__doc__) for part in parts).split())
    assert guarantee.promise in contract


def test_guarantees_can_be_told_apart() -> None:
    assert len(BY_NAME) == len({guarantee.sentence for guarantee in GUARANTEES}) == len(GUARANTEES)


async def test_a_check_that_does_not_end_is_broken(autojump_clock: MockClock) -> None:
    async def never_ends(place: Place) -> None:
        await trio.sleep_forever()

    finding = await try_in(MemorySubject(), Guarantee("", "", "", frozenset(), never_ends))
    assert finding.reason == "the check did not end within 15 s"


async def test_what_a_store_raises_is_told() -> None:
    async def raises(place: Place) -> None:
        async with trio.open_nursery():
            raise ValueError("so")

    finding = await try_in(MemorySubject(), Guarantee("", "", "", frozenset(), raises))
    assert finding.reason == "the store raised ValueError: so"


async def test_files_are_removed(tmp_path: Path) -> None:
    subject = SqliteSubject(tmp_path)
    async with subject.opened():
        await try_all(subject, [BY_NAME["what_ran_runs_again"], BY_NAME["join"]])
        assert await there_is_something_in(tmp_path)
    assert not await there_is_something_in(tmp_path)


async def there_is_something_in(directory: Path) -> bool:
    return bool(list(await trio.Path(directory).iterdir()))


async def test_a_directory_that_cannot_be_written_to(tmp_path: Path) -> None:
    with pytest.raises(UnusableStoreError, match=r"cannot create files in .*nowhere: No such file or directory"):
        async with SqliteSubject(tmp_path / "nowhere").opened():
            pass
