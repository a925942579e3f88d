"""Schedules in a seed: some are declared in each life, and no death fires one of their times twice or loses one.

Each occurrence submits a task that tells its schedule and its time. So two tasks of one occurrence are told from two
occurrences, whatever the program itself believes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from random import Random
from typing import Final

from pexecutor import Record, StoreUnavailableError, Task
from pexecutor.schedules.changes import declare
from pexecutor.schedules.params import SLOT
from pexecutor.stores.schedules import Definition, Fired, Schedule
from pexecutor.stores.sqlite.database import Database
from pexecutor.task import parse_task_id

from .connection import connected
from .disk import FakeDisk
from .ledger import Ledger, demand
from .process import FILE, Process

SEEDS_WITH_SCHEDULES: Final = 0.2
SECONDS: Final = 40 * 60.0
"""How long the schedules go on."""


class ScheduledWork:
    """The schedules of one seed, and the accounts of their occurrences.

    Parameters:
        seed: decides about the schedules, without a draw from the chance of the seed's other decisions.
        begin: the wall clock's time at the beginning.
    """

    def __init__(self, seed: int, begin: float) -> None:
        chance = Random(f"schedules of {seed}")
        self.definitions: dict[str, Definition] = {}
        if chance.random() < SEEDS_WITH_SCHEDULES:
            self.definitions = {f"s{number}": _definition(number, chance, begin) for number in range(1, 6)}
        # Changed by look(): the serial of the task of each occurrence that could be seen, and the serials of all tasks.
        self._tasks: dict[tuple[int, str], int] = {}
        self._seen: set[int] = set()

    async def declare(self, process: Process) -> None:
        """Declare the schedules, as the tables of a settings file at a start."""
        for name, definition in self.definitions.items():
            if not process.dead:
                with suppress(StoreUnavailableError):
                    await declare(process.store.schedules, name, definition, owner="file")

    def look(self, process: Process) -> None:
        """See that the schedules of a store agree with its tasks."""
        if self.definitions and not process.dead:
            records = process.book._records
            self._seen |= records.keys() | process.ledger.outcomes.keys()
            self._tasks = self._compare(process.store.schedules._book.page(10, None), records)

    def found(self, disk: FakeDisk, records: Sequence[Record], ledger: Ledger) -> None:
        """See that the schedules in a file agree with the tasks in it."""
        if self.definitions:
            self._seen |= ledger.outcomes.keys()
            self._compare(_read(disk), {record.serial: record for record in records})

    def _compare(self, schedules: Iterable[Schedule], records: Mapping[int, Record]) -> dict[tuple[int, str], int]:
        """Check schedules against tasks; return the serial of the task of each occurrence."""
        tasks = dict(self._tasks)
        for record in records.values():
            params = record.task.params
            if "at" in params:
                serial = tasks.setdefault((params["mark"], params["at"]), record.serial)
                demand(serial == record.serial, "no occurrence is fired twice", record)
        for schedule in schedules:
            times = [occurrence.at for occurrence in schedule.occurrences]
            demand(times == sorted(set(times), reverse=True), "the occurrences are in order", schedule)
            for occurrence in schedule.occurrences:
                if isinstance(occurrence, Fired):
                    serial = parse_task_id(occurrence.task_id) or 0
                    demand(serial in records or serial in self._seen, "no occurrence is lost", schedule, occurrence)
            self._look_ahead(schedule, tasks)
        return tasks

    def _look_ahead(self, schedule: Schedule, tasks: Mapping[tuple[int, str], int]) -> None:
        """See that no task has a time that the schedule still has before it."""
        upcoming, own = schedule.next, schedule.definition.task.params["mark"]
        for mark, at in tasks:
            if mark == own and upcoming is not None:
                demand(datetime.fromisoformat(at).timestamp() < upcoming.at, "no occurrence comes again", schedule, at)


def _definition(number: int, chance: Random, begin: float) -> Definition:
    task = Task(
        chance.choice("abuvwxyz"),
        params={"mark": -number, "at": SLOT},
        on_crash=chance.choice(["rerun", "fail"]),
        retries=chance.choice([0, 1]),
    )
    return Definition(
        task,
        every=chance.choice([10_000, 60_000, 600_000]),
        start_at=datetime.fromtimestamp(begin, UTC),
        until=datetime.fromtimestamp(begin + SECONDS, UTC),
        catch_up=chance.choice(["one", "one", "none"]),
        late_max=chance.choice([None, None, 500, 60_000]),
    )


def _read(disk: FakeDisk) -> list[Schedule]:
    database = Database(FILE, connected=partial(connected, disk.copy(), checkpoint_pages=0))
    database.open()
    try:
        return database.stored("schedules")
    finally:
        database.close()
