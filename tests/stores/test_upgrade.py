"""A file of an older form opens, is repaired, and can be upgraded again wherever the upgrade was cut off.

``forms/2.db.gz.base64`` was written by the last program of form 2, whose server then died: it holds long errors, waits
that are no numbers or without a bound, and two rows that were spoilt by hand. ``forms/3.db.gz.base64`` was written by
the last program of form 3, whose server died twice: it holds tasks in every state, with crashes, and a row that
had been set aside. ``forms/4.db.gz.base64`` was written by the last program of form 4, whose server died twice: it
holds tasks in every state, a schedule and a remembered answer. ``forms/5.db.gz.base64`` was written by the last
program of form 5, which had no limits, and whose server died twice: it also holds a delivery.
"""

from __future__ import annotations

import base64
import gzip
import sqlite3
import subprocess
import sys
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

import pytest

from pexecutor import Ending, Finished, LocalStore, Outcome, PageRequest, Pending, Record, Scheduled, State, Task
from pexecutor.errors import UnusableStoreError
from pexecutor.stores import Watcher
from pexecutor.stores.answers import RequestKey, RequestKind
from pexecutor.stores.limits import AtLimit, LimitNumbers, handler_key
from pexecutor.stores.local.recovery import Recovered
from pexecutor.stores.schedules import Definition, NextTime, Schedule
from pexecutor.stores.sqlite import schema
from pexecutor.stores.sqlite.database import Database
from pexecutor.stores.sqlite.inspection import Findings, check, save
from pexecutor.stores.sqlite.journal import SqliteJournal
from pexecutor.task import Brings
from pexecutor.values import ERROR_BYTES_MAX, RETRY_AFTER_SECONDS_MAX
from pexecutor.web.api.wire import detail

from ..simulation.connection import connected
from ..simulation.disk import Crash, FakeDisk

FORMS: Final = Path(__file__).parent / "forms"
THEN: Final = 1_800_000_001.0
FILE: Final = Path("/tasks.db")


class Form(NamedTuple):
    """An older form, and what a program of today finds in its file."""

    version: int
    records: int
    in_flight: int
    history: int
    set_aside: int

    @property
    def content(self) -> bytes:
        return gzip.decompress(base64.b64decode((FORMS / f"{self.version}.db.gz.base64").read_text()))


FORM_2: Final = Form(2, records=12, in_flight=7, history=5, set_aside=2)
FORM_3: Final = Form(3, records=12, in_flight=7, history=5, set_aside=1)
FORM_4: Final = Form(4, records=11, in_flight=6, history=5, set_aside=0)
FORM_5: Final = Form(5, records=16, in_flight=13, history=3, set_aside=0)

each_form = pytest.mark.parametrize("form", [FORM_2, FORM_3, FORM_4, FORM_5], ids=lambda form: str(form.version))


@pytest.fixture
def form() -> Form:
    return FORM_2


@pytest.fixture
def content(form: Form) -> bytes:
    return form.content


@pytest.fixture
def path(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "pexecutor.db"
    path.write_bytes(content)
    return path


async def test_it_opens_and_is_repaired(path: Path) -> None:
    recovered: list[Recovered] = []
    journal = SqliteJournal(Database(path))
    store = LocalStore(journal=journal, now=lambda: THEN + 1, on_recovered=recovered.append)
    async with store.opened():
        records = {
            (record.task.name, record.task.duration): record for record in (await store.page(PageRequest())).records
        }
        shown = {f"{name}{duration or ''}": (r.state.value, r.crashes) for (name, duration), r in records.items()}
        for record in records.values():
            detail(record)
        assert store.statistics().damaged == 7
    assert shown == {
        **{f"ended-{number}": ("finished", 0) for number in range(5)},
        "retried": ("scheduled", 0),
        "rerun": ("pending", 1),
        "once": ("finished", 1),
        "followed": ("pending", 1),
        "followed5": ("scheduled", 0),
        "waits": ("pending", 0),
        "later": ("scheduled", 0),
    }
    assert recovered == [Recovered(waiting=4, rerun=2, ended=1, history=5, mended=5, set_aside=2)]
    assert_fit(list(records.values()))
    assert records["followed", 0].crashes == 1
    assert records["waits", 0].task.params == {"a": [1, "ä"]}
    retried = records["retried", 0]
    assert isinstance(retried, Scheduled)
    assert retried.due_at == THEN + RETRY_AFTER_SECONDS_MAX
    findings = check(path)
    assert (findings.faults, findings.in_flight, findings.history, findings.set_aside) == ([], 6, 6, 2)


def assert_fit(records: list[Record]) -> None:
    for record in records:
        errors = [attempt.error or "" for attempt in record.attempts]
        if isinstance(record, Finished):
            errors.append(record.ending.error or "")
        assert all(
            (len(error.encode()) <= ERROR_BYTES_MAX and error.isprintable()) or "\n" in error for error in errors
        )


def test_it_can_be_looked_at_as_it_is(path: Path, content: bytes) -> None:
    findings = Findings()
    assert len(list(save(path, findings))) == 7
    assert len(findings.faults) == 2
    assert len(check(path).faults) == 2
    assert path.read_bytes() == content


def upgrade(disk: FakeDisk) -> list[Record]:
    database = Database(FILE, connected=partial(connected, disk))
    try:
        database.open()
        return [record for some in database.records() for record in some]
    finally:
        database.close()


def disk_with(content: bytes, seed: int) -> FakeDisk:
    disk = FakeDisk(Random(seed))
    disk.overwrite(str(FILE), content)
    disk._files[str(FILE)].sync()
    return disk


@each_form
def test_it_survives_a_crash_at_each_operation(form: Form, content: bytes) -> None:
    whole = disk_with(content, 0)
    upgraded = upgrade(whole)
    assert len(upgraded) == form.records
    operations = whole.operations
    assert operations > 10
    for operation in range(1, operations + 1):
        disk = disk_with(content, operation)
        disk.crash_at(disk.operations + operation)
        with suppress(Crash):
            assert upgrade(disk) == upgraded
        after = disk.after_crash()
        assert upgrade(after) == upgraded, f"after a crash at operation {operation}"
        assert upgrade(after.after_exit()) == upgraded


DYING = """
import os, sys
from pathlib import Path
from pexecutor.stores.sqlite import database

class Dying:
    def __init__(self, connection, steps):
        self.connection, self.steps = connection, steps

    def __getattr__(self, name):
        return getattr(self.connection, name)

    def _step(self):
        self.steps -= 1
        if self.steps < 0:
            os.kill(os.getpid(), 9)

    def execute(self, *arguments):
        self._step()
        return self.connection.execute(*arguments)

    def executemany(self, *arguments):
        self._step()
        return self.connection.executemany(*arguments)

connect = database.connect
database.connect = lambda path: Dying(connect(path), int(sys.argv[2]))
file = database.Database(Path(sys.argv[1]))
file.open()
for _ in file.records():
    pass
for kind in ("schedules", "answers", "deliveries", "limits"):
    file.stored(kind)
file.close()
"""


@each_form
def test_it_survives_a_kill_at_each_statement(form: Form, path: Path) -> None:
    """A process that dies at every third statement, until one comes through."""
    for steps in range(3, 200, 3):
        run = subprocess.run([sys.executable, "-c", DYING, str(path), str(steps)], timeout=60, check=False)
        if run.returncode == 0:
            break
        assert run.returncode == -9
    assert steps >= 15
    findings = check(path)
    found = (findings.in_flight, findings.history, findings.set_aside)
    assert (findings.faults, *found) == ([], form.in_flight, form.history, form.set_aside)


@each_form
async def test_an_older_program_refuses_the_newer_form(form: Form, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(path)
    database.open()
    database.close()
    monkeypatch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[: form.version])
    told = rf"newer pexecutor \(format 6; this one reads formats up to {form.version}\)"
    with pytest.raises(UnusableStoreError, match=told):
        Database(path).open()


async def test_a_file_without_schedules_takes_some(tmp_path: Path) -> None:
    path = tmp_path / "pexecutor.db"
    path.write_bytes(FORM_3.content)
    shown: dict[tuple[str, int], tuple[str, int]] = {}
    store = LocalStore(journal=SqliteJournal(Database(path)), now=lambda: THEN)
    async with store.opened():
        for record in (await store.page(PageRequest())).records:
            shown[record.task.name, record.task.duration] = (record.state.value, record.crashes)
        assert await store.schedules.page(10) == []
        definition = Definition(Task("by schedule"), cron="* * * * *")
        stored = await store.schedules.put(Schedule("s", definition, next=NextTime(THEN, THEN)))
    assert shown["killer", 0] == ("pending", 2)
    assert shown["once", 0] == ("finished", 1)
    assert shown["followed", 0] == ("pending", 1)
    assert shown["later", 0] == ("scheduled", 0)
    store = LocalStore(journal=SqliteJournal(Database(path)), now=lambda: THEN)
    async with store.opened():
        assert await store.schedules.page(10) == [stored]


async def test_a_file_without_deliveries_takes_some_and_keeps_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "pexecutor.db"
    path.write_bytes(FORM_4.content)
    assert check(path).beside == {"schedules": 1, "answers": 1}
    store = LocalStore(journal=SqliteJournal(Database(path)), now=lambda: THEN)
    store.watch(Watcher(brings=lambda _: Brings(succeeded=("t",))))
    async with store.opened():
        assert [schedule.name for schedule in await store.schedules.page(10)] == ["s"]
        assert await store.answers.remembered(RequestKey(RequestKind.HOOK, "scope", "key")) is not None
        assert store.statistics().deliveries == 0
        await store.submit([Task("new", priority=100)])
        [running] = await store.claim(1)
        await store.finish([(running, Ending(Outcome.SUCCEEDED))])
        made = await store.deliveries.page("t", 10)
    store = LocalStore(journal=SqliteJournal(Database(path)), now=lambda: THEN)
    async with store.opened():
        assert await store.deliveries.page("t", 10) == made
        assert len(made) == 1


async def test_tasks_of_a_file_without_limits_obey_them(tmp_path: Path) -> None:
    path = tmp_path / "pexecutor.db"
    path.write_bytes(FORM_5.content)
    assert check(path).beside == {"schedules": 1, "answers": 1, "deliveries": 1}
    store = LocalStore(journal=SqliteJournal(Database(path)), now=lambda: THEN)
    async with store.opened():
        await store.limits.set_numbers({"api": 1}, {"sync": 2})
        started = {record.task.name: record for record in await store.claim(20)}
        assert [*started] == ["runs", "globex-runs", "sleeps", "answered"]
        [pending, *_] = (await store.page(PageRequest(state=State.PENDING))).records
        holders = (started["runs"].id, started["globex-runs"].id)
        assert AtLimit(handler_key("sync"), 2, holders) in await store.limits.why(pending.id)
        await store.finish([(started["globex-runs"], Ending(Outcome.SUCCEEDED))])
        assert [record.task.name for record in await store.claim(20)] == ["killer"]
        await store.limits.pause("sync", "me")
        assert len(await store.deliveries.page("t", 10)) == 1
    store = LocalStore(journal=SqliteJournal(Database(path)), now=lambda: THEN)
    async with store.opened():
        state = await store.limits.state()
        assert state.numbers == LimitNumbers({"api": 1}, {"sync": 2})
        assert [pause.handler for pause in state.pauses] == ["sync"]


def test_the_form_is_the_one_that_it_says(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)
        assert connection.execute("SELECT count(*) FROM tasks").fetchone() == (14,)
    assert Pending(1, next(iter(save(path, Findings()))).task, 0.5, ()).crashes == 0
