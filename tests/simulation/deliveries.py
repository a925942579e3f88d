"""Deliveries in a seed: every outcome has exactly those that it brings, and no death loses one or makes one twice.

Which targets an outcome has is told from the mark of its task alone. So the check does not depend on what the records
say about their targets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from random import Random
from typing import Final

import trio

from pexecutor import Finished, Record, StoreUnavailableError, Task
from pexecutor.stores.deliveries import Delivery, DeliveryBounds, EndNotice
from pexecutor.stores.sqlite.database import Database
from pexecutor.task import Brings, make_serial, parse_task_id

from .connection import connected
from .disk import FakeDisk
from .ledger import Ledger, demand
from .process import FILE, Process

SEEDS_WITH_DELIVERIES: Final = 0.25
TARGETS: Final = ("x", "y")
TAKE_SECONDS: Final = 5.0
TAKES_MAX: Final = 100
"""How often a life looks for due deliveries."""

Key = tuple[int, str]
"""The serial of a task, and a target."""


class NotifiedWork:
    """The deliveries of one seed, and the accounts of them.

    Parameters:
        seed: decides about the deliveries, without a draw from the chance of the seed's other decisions.
        now: the wall clock.
    """

    def __init__(self, seed: int, now: Callable[[], float]) -> None:
        self._now = now
        self._chance = chance = Random(f"deliveries of {seed}")
        self.are_made: bool = chance.random() < SEEDS_WITH_DELIVERIES
        self.bounds: DeliveryBounds = DeliveryBounds(chance.choice([10_000, 10_000, 5]))
        # Those that could be seen; those whose end was begun; those whose end was told; attempts that were told.
        self._seen: dict[Key, int] = {}
        self._may_be_gone: set[int] = set()
        self._gone: set[int] = set()
        self._attempts: dict[int, int] = {}

    def brings(self, task: Task) -> Brings | None:
        """Return the targets of a task."""
        mark: int = task.params["mark"]
        if not self.are_made or mark % 5 == 0:
            return None
        return Brings(
            succeeded=TARGETS[mark % 2 :],
            failed=TARGETS[: 1 + mark % 2],
            timed_out=TARGETS,
            cancelled=("y",) if mark % 3 else (),
            abandoned=TARGETS,
        )

    def note_ended(self, deliveries: Iterable[Delivery]) -> None:
        """Note deliveries that had to go, because there were too many."""
        for delivery in deliveries:
            self._note(delivery)
            self._may_be_gone.add(delivery.serial)

    def _note(self, delivery: Delivery) -> None:
        serial = self._seen.setdefault(_key(delivery), delivery.serial)
        demand(serial == delivery.serial, "no delivery is made twice", delivery)

    async def take(self, process: Process) -> None:
        """Attempt deliveries in a life: some succeed, some fail, and some takers leave or die."""
        deliveries = process.store.deliveries
        for _ in range(TAKES_MAX):
            await trio.sleep(self._chance.choice([0, 0.01, 1, 30]))
            for delivery in (await deliveries.take(TARGETS, TAKE_SECONDS)).deliveries:
                with trio.move_on_after(self._chance.choice([0, 0.01, 100, 100])):
                    await self._attempt(process, delivery)

    async def _attempt(self, process: Process, delivery: Delivery) -> None:
        self._note(delivery)
        demand(delivery.serial not in self._gone, "an ended delivery is not attempted", delivery)
        try:
            match self._chance.choice(["end", "end", "put off", "die"]):
                case "end":
                    self._may_be_gone.add(delivery.serial)
                    await process.store.deliveries.end([delivery])
                    if not process.dead:
                        self._gone.add(delivery.serial)
                case "put off":
                    await process.store.deliveries.put_off(delivery, self._chance.choice([0, 1, 60]))
                    if not process.dead:
                        self._attempts[delivery.serial] = delivery.attempts + 1
        except StoreUnavailableError:
            pass

    def look(self, process: Process) -> None:
        """See that the deliveries of a store agree with its tasks."""
        if self.are_made and not process.dead:
            book, records = process.store.deliveries._book, process.book._records
            demand(len(book) <= self.bounds.deliveries_max, "the deliveries are bounded", len(book))
            outcomes = process.ledger.outcomes | _ended(records)
            self._seen |= self._compare(list(book._deliveries.values()), outcomes, records)

    def found(self, disk: FakeDisk, records: Sequence[Record], ledger: Ledger) -> None:
        """See that the deliveries in a file agree with the tasks in it."""
        if self.are_made:
            deliveries, latest = _read(disk)
            given = [delivery.serial for delivery in deliveries]
            demand(latest >= max(given, default=0), "no id is given twice", given, latest)
            in_file = {record.serial: record for record in records}
            self._compare(deliveries, ledger.outcomes | _ended(in_file), in_file)

    def _compare(
        self, deliveries: Sequence[Delivery], outcomes: Mapping[int, Finished], records: Mapping[int, Record]
    ) -> dict[Key, int]:
        """Check deliveries against outcomes; return the serial of each delivery."""
        found: dict[Key, int] = {}
        for delivery in deliveries:
            serial = delivery.serial
            key = task, _ = _key(delivery)
            outcome = outcomes.get(task)
            assert isinstance(delivery.notice, EndNotice)
            as_ended = outcome is not None and outcome.outcome == delivery.notice.outcome
            in_store = records.get(task, outcome)
            demand(as_ended and isinstance(in_store, Finished), "no delivery without its outcome", delivery)
            demand(self._seen.get(key, serial) == serial and key not in found, "no delivery is made twice", delivery)
            demand(serial not in self._gone, "an ended delivery does not come again", delivery)
            demand(delivery.attempts >= self._attempts.get(serial, 0), "a failed attempt stays counted", delivery)
            found[key] = serial
        for task, outcome in outcomes.items():
            self._look_at_outcome(task, outcome, found)
        return found

    def _look_at_outcome(self, task: int, outcome: Finished, found: Mapping[Key, int]) -> None:
        brings = self.brings(outcome.task)
        targets = () if brings is None else brings.targets(outcome.outcome)
        for target in TARGETS:
            key = task, target
            demand(key not in found or target in targets, "no delivery to another target", outcome, target)
            too_old = outcome.finished_at + self.bounds.seconds_max <= self._now()
            there = key in found or self._seen.get(key) in self._may_be_gone or too_old
            demand(target not in targets or there, "every outcome has its deliveries", outcome, target)


def _key(delivery: Delivery) -> Key:
    assert isinstance(delivery.notice, EndNotice)
    return parse_task_id(delivery.notice.task_id) or 0, delivery.target


def _ended(records: Mapping[int, Record]) -> dict[int, Finished]:
    return {serial: record for serial, record in records.items() if isinstance(record, Finished)}


def _read(disk: FakeDisk) -> tuple[list[Delivery], int]:
    """Return the deliveries in a file, and the last serial that it says was given."""
    database = Database(FILE, connected=partial(connected, disk.copy(), checkpoint_pages=0))
    latest = make_serial(*database.open())
    try:
        return database.stored("deliveries"), latest
    finally:
        database.close()
