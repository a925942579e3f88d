"""Limits and pauses in a seed: the slots in use are the running tasks at every look, and what was set stays set.

The limit keys of a task follow from its mark. A caller changes numbers and pauses; a change whose answer it never got
may have happened or not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import partial
from random import Random
from typing import Any, Final

import trio

from pexecutor import Record, Running, StoreUnavailableError, Task
from pexecutor.limits.keys import LimitKey
from pexecutor.stores.limits import LimitNumbers, TaskPause, keys_of
from pexecutor.stores.local.limit_settings import Setting, SettingKey
from pexecutor.stores.sqlite.database import Database

from .connection import connected
from .disk import FakeDisk
from .ledger import demand
from .process import FILE, Process

SEEDS_WITH_LIMITS: Final = 0.2
UNLIMITED: Final = 1000


def limit_keys(task: Task) -> tuple[LimitKey, ...]:
    """The limit keys of a task."""
    mark = int(task.params["mark"])
    every = (LimitKey("api", f"{mark % 2}"), LimitKey("db"))
    return every[mark % 3 :] if mark % 3 < 2 else ()


class Limits:
    """The limits of one seed, and the accounts of what was set.

    Parameters:
        seed: decides about the limits, without a draw from the chance of the seed's other decisions.
    """

    def __init__(self, seed: int) -> None:
        self._chance = Random(f"limits of {seed}")
        self.are_used: bool = self._chance.random() < SEEDS_WITH_LIMITS
        # Changed by _set() and found(): the settings that were acknowledged, and those that may be there instead.
        self._known: dict[SettingKey, int | str | None] = {}
        self._maybe: dict[SettingKey, set[int | str | None]] = {}
        self._in_use: Counter[LimitKey] = Counter()
        self._published: list[LimitNumbers] = []  # the numbers in force since the last look

    # What changes

    async def change(self, process: Process) -> None:
        """Change numbers and pauses from time to time, until cancelled."""
        while not process.dead:
            await trio.sleep(self._chance.expovariate(1 / 5))
            with suppress(StoreUnavailableError):
                await self._change(process)

    async def _change(self, process: Process) -> None:
        chance, limits = self._chance, process.store.limits
        handler = chance.choice(["sleep", "other", None])
        match chance.choice(["numbers", "numbers", "pause", "resume", "resume"]):
            case "numbers":
                given = {name: chance.randint(1, 3) for name in ("api", "db") if chance.random() < 0.7}
                own = chance.choice([None, 1, 2])
                changes: dict[SettingKey, Any] = {SettingKey("limit", name): given.get(name) for name in ("api", "db")}
                changes[SettingKey("handler", "sleep")] = own
                await self._set(process, changes, partial(limits.set_numbers, given, {"sleep": own}))
            case "pause":
                key = SettingKey("pause", handler or "")
                await self._set(process, {key: "paused"}, partial(limits.pause, handler, "a caller"))
            case "resume":
                await self._set(process, {SettingKey("pause", handler or ""): None}, partial(limits.resume, handler))

    async def _set(self, process: Process, changes: Mapping[SettingKey, Any], call: Any) -> None:
        for key, value in changes.items():
            self._maybe.setdefault(key, {self._known.get(key)}).add(value)
        await call()
        if not process.dead:
            for key, value in changes.items():
                self._known[key] = value
                del self._maybe[key]

    async def settle(self, process: Process) -> None:
        """End every pause, and set low numbers: all tasks come to their end although most have to wait for slots."""
        await process.store.limits.set_numbers({"api": 1, "db": 1}, {"sleep": 1})
        for pause in (await process.store.limits.state()).pauses:
            await process.store.limits.resume(pause.handler)

    # What has to hold

    def follow(self, process: Process) -> None:
        """Note the numbers of a process at each change, whoever makes it: a caller, or the start of the executor."""
        slots = process.book.slots
        set_numbers, self._published = slots.set_numbers, [slots.numbers]

        def noted(numbers: LimitNumbers, running: Iterable[Record]) -> None:
            set_numbers(numbers, running)
            self._published.append(numbers)

        slots.set_numbers = noted  # type: ignore[method-assign]

    def look(self, process: Process) -> None:
        """See that the slots in use are the running tasks, and that no limit is exceeded."""
        if not self.are_used or process.dead:
            return
        slots = process.book.slots
        running = [record for record in process.book._records.values() if isinstance(record, Running)]
        in_use = Counter(key for record in running for key in keys_of(record))
        counted = {key: number for key, number in in_use.items() if slots.numbers.of(key) is not None}
        demand(slots.counts() == counted, "slots in use are running tasks", slots.counts(), counted)
        for key, number in in_use.items():
            most = max(UNLIMITED if (of := numbers.of(key)) is None else of for numbers in self._published)
            demand(number <= max(most, self._in_use[key]), "no limit is exceeded", key, number, most)
        self._in_use, self._published = in_use, [slots.numbers]

    def found(self, disk: FakeDisk) -> None:
        """See that the file has what was set."""
        if self.are_used:
            self._in_use = Counter()
            stored = {key: "paused" if isinstance(value, TaskPause) else value for key, value in _read(disk).items()}
            for key in {*stored, *self._known, *self._maybe}:
                allowed = self._maybe.get(key, {self._known.get(key)})
                if key.kind != "pause":
                    allowed = allowed | {None}  # each start sets the numbers of the settings, which have none
                demand(stored.get(key) in allowed, "what was set stays set", key, stored.get(key), allowed)
            self._known, self._maybe = dict(stored), {}


def _read(disk: FakeDisk) -> dict[SettingKey, Setting | None]:
    database = Database(FILE, connected=partial(connected, disk.copy(), checkpoint_pages=0))
    database.open()
    try:
        return dict(database.stored("limits"))
    finally:
        database.close()
