"""A change of settings is in the file: the next start with the same settings changes nothing."""

from __future__ import annotations

from pathlib import Path

import msgspec
import trio

from pexecutor import Executor, LocalStore, ScheduleDeclaration, Task
from pexecutor.handlers import Catalogue
from pexecutor.handlers.limits import DeclaredLimits, LimitSettings
from pexecutor.handlers.settings import HandlerSettings
from pexecutor.schedules.tables import DeclaredSchedules
from pexecutor.stores.limits import LimitNumbers
from pexecutor.stores.sqlite.database import Database
from pexecutor.stores.sqlite.journal import SqliteJournal

from ...fakes import Gate


def tables(**every: int) -> DeclaredSchedules:
    return DeclaredSchedules({name: ScheduleDeclaration(Task(name), every=period) for name, period in every.items()})


async def test_limits_and_schedules_of_a_change_outlive_the_process(tmp_path: Path) -> None:
    limits, settings = {"api": LimitSettings(concurrency=4)}, {"sleep": HandlerSettings(concurrency=2)}
    changed = Catalogue({"sleep": Gate()}, (), settings, DeclaredLimits(limits, settings))
    executor = Executor(_store(tmp_path), handlers=Catalogue({"sleep": Gate()}), declared=tables(old=60_000))
    async with trio.open_nursery() as nursery:
        await nursery.start(executor.run)
        new = msgspec.structs.replace(executor.settings, handlers=changed, declared=tables(new=3_600_000))
        await executor.apply_settings(new)
        before = await executor.schedules.page(10)
        executor.drain()

    store = _store(tmp_path)
    async with store.opened():
        assert await store.schedules.page(10) == before
        assert [schedule.name for schedule in before] == ["new"]
        assert (await store.limits.state()).numbers == LimitNumbers({"api": 4}, {"sleep": 2})


def _store(folder: Path) -> LocalStore:
    return LocalStore(journal=SqliteJournal(Database(folder / "tasks.db")))
