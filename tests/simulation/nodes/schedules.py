"""Schedules of a queue in a seed: all nodes declare and fire them, and no time is fired twice or lost.

Each occurrence submits a task that tells its schedule and its time. So two tasks of one occurrence are told from two
occurrences, whatever nodes and server believe.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from random import Random
from typing import Any, Final

import msgspec

from pexecutor import StoreUnavailableError, Task
from pexecutor.schedules.changes import declare
from pexecutor.schedules.params import SLOT
from pexecutor.stores.schedules import Definition
from pexecutor.stores.valkey.protocol import FIRED
from pexecutor.stores.valkey.schedule_rows import StoredSchedule

from ..ledger import demand
from .network import KEY
from .node import SimulatedNode

SEEDS_WITH_SCHEDULES: Final = 0.3
SECONDS: Final = 5 * 60.0
"""How long the schedules go on."""

_decode_task = msgspec.json.Decoder(Task).decode
_decode_schedule = msgspec.msgpack.Decoder(StoredSchedule).decode

Occurrence = tuple[int, float]
"""The mark of a schedule, and a time."""


class ScheduledWork:
    """The schedules of one seed, and the accounts of their occurrences.

    Parameters:
        seed: decides about the schedules, without a draw from the chance of the seed's other decisions.
        begin: the server's clock at the beginning.
        submits_killers: whether some of its tasks would kill their nodes; then the peace at the end would have no end.
    """

    def __init__(self, seed: int, begin: float, *, submits_killers: bool) -> None:
        chance = Random(f"schedules of {seed}")
        self.definitions: dict[str, Definition] = {}
        if chance.random() < SEEDS_WITH_SCHEDULES and not submits_killers:
            self.definitions = {f"s{number}": _definition(number, chance, begin) for number in range(1, 5)}
        # Changed by look() and forgot(): the number of the task of each occurrence, and the occurrence of each task.
        self._tasks: dict[Occurrence, str] = {}
        self._seen: dict[str, Occurrence | None] = {}

    async def declare(self, node: SimulatedNode) -> None:
        """Declare the schedules, as the tables of a settings file at a start."""
        for name, definition in self.definitions.items():
            with suppress(StoreUnavailableError):
                await declare(node.executor.clock.schedules, name, definition, owner="file")

    def look(self, data: Mapping[str, Any]) -> None:
        """See that the schedules of the server agree with its tasks."""
        if not self.definitions:
            return
        for digits, text in data.get(f"{KEY}:task", {}).items():
            if digits not in self._seen:
                self._see(digits, _decode_task(text.encode("latin-1")))
        for name, packed in data.get(f"{KEY}:schedule", {}).items():
            self._look_at_schedule(name, _decode_schedule(packed.encode("latin-1")))

    def _see(self, digits: str, task: Task) -> None:
        if "at" not in task.params:
            self._seen[digits] = None
            return
        occurrence = (task.params["mark"], datetime.fromisoformat(task.params["at"]).timestamp())
        self._seen[digits] = occurrence
        known = self._tasks.setdefault(occurrence, digits)
        demand(known == digits, "no occurrence is fired twice", task, known, digits)

    def _look_at_schedule(self, name: str, schedule: StoredSchedule) -> None:
        mark = self.definitions[name].task.params["mark"]
        times = [row.at for row in schedule.occurrences]
        demand(times == sorted(set(times), reverse=True), "the occurrences are in order", name, schedule)
        for row in schedule.occurrences:
            if row.reason == FIRED:
                fired = self._seen.get(f"{row.task:013}")
                demand(f"{row.task:013}" in self._seen, "no occurrence is lost", name, row)
                demand(fired is None or fired == (mark, row.at), "an occurrence has its own task", name, row, fired)
        if not isinstance(schedule.next, bool):
            again = [at for one, at in self._tasks if one == mark and at >= schedule.next.at]
            demand(not again, "no occurrence comes again", name, schedule.next, again)

    def forgot(self, data: Mapping[str, Any]) -> None:
        """The server has died, and has what it has written; what it has forgotten may come again."""
        kept: dict[str, str] = data.get(f"{KEY}:task", {})
        seen_before = set(self._seen) if kept else set()
        self._tasks = {occurrence: digits for occurrence, digits in self._tasks.items() if digits in kept}
        self._seen = {digits: self._seen[digits] for digits in seen_before}


def _definition(number: int, chance: Random, begin: float) -> Definition:
    task = Task(
        chance.choice("abuvwxyz"),
        params={"mark": -number, "at": SLOT},
        on_crash=chance.choice(["rerun", "fail"]),
        on_conflict=chance.choice(["reject", "reject", "supersede"]),
    )
    return Definition(
        task,
        every=chance.choice([2_000, 10_000, 60_000]),
        start_at=datetime.fromtimestamp(begin, UTC),
        until=datetime.fromtimestamp(begin + SECONDS, UTC),
        catch_up=chance.choice(["one", "one", "none"]),
        late_max=chance.choice([None, None, 500, 60_000]),
    )
