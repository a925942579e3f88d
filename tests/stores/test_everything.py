"""Everything that a handler may do, on the local stores."""

from __future__ import annotations

from pathlib import Path

from pexecutor import LocalStore
from pexecutor.stores.sqlite.database import Database
from pexecutor.stores.sqlite.journal import SqliteJournal

from ..everything import try_everything


async def test_everything_that_a_handler_may_do_in_memory() -> None:
    await try_everything(LocalStore, keeps=False)


async def test_everything_that_a_handler_may_do_on_sqlite(tmp_path: Path) -> None:
    file = tmp_path / "pexecutor.db"
    await try_everything(lambda: LocalStore(journal=SqliteJournal(Database(file))), keeps=True)
