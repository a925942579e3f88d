"""Limits and pauses of a queue in a seed: at each call of the server, the slots in use are its running tasks.

The limit keys of a task follow from its mark, through whichever node it comes. Callers on all nodes change the numbers
and the pauses. A start of a node sets the numbers of its settings, which have none.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import suppress
from random import Random
from typing import Any, Final, NamedTuple

import trio

from pexecutor import StoreUnavailableError
from pexecutor.stores.valkey.wire import StoredRecord

from ..ledger import demand
from ..limits import limit_keys
from .network import KEY
from .node import SimulatedNode

SEEDS_WITH_LIMITS: Final = 0.3
UNLIMITED: Final = 1000

Key = tuple[str, str]
"""The name of a limit and a value; without a name, the number of the handler that is the value."""


class _Seen(NamedTuple):
    """What a look has seen: the records, the numbers and the pauses."""

    records: Mapping[int, StoredRecord]
    numbers: Mapping[str, int]
    paused: frozenset[str]

    def running(self) -> dict[int, StoredRecord]:
        return {number: record for number, record in self.records.items() if record.state == "running"}

    def in_use(self) -> Counter[Key]:
        return Counter(key for record in self.running().values() for key in keys_of(record))

    def most(self, key: Key) -> int:
        return self.numbers.get(f"limit:{key[0]}" if key[0] else f"handler:{key[1]}", UNLIMITED)


_NOTHING: Final = _Seen({}, {}, frozenset())


class LimitedWork:
    """The limits of one seed.

    Parameters:
        seed: decides about the limits, without a draw from the chance of the seed's other decisions.
    """

    def __init__(self, seed: int) -> None:
        self._chance = Random(f"limits of {seed}")
        self.are_used: bool = self._chance.random() < SEEDS_WITH_LIMITS
        self.limit_keys = limit_keys
        self._seen = _NOTHING  # changed by look() and forgot()

    # What changes

    async def change(self, node: SimulatedNode) -> None:
        """Change numbers and pauses through a node from time to time, until cancelled."""
        while not node.dead:
            await trio.sleep(self._chance.expovariate(1 / 5))
            with suppress(StoreUnavailableError):
                await self._change(node)

    async def _change(self, node: SimulatedNode) -> None:
        limits = node.executor.limits.store
        handler = self._chance.choice(["sleep", None])
        match self._chance.choice(["numbers", "numbers", "pause", "resume", "resume"]):
            case "numbers":
                given = {name: self._chance.randint(1, 3) for name in ("api", "db") if self._chance.random() < 0.7}
                await limits.set_numbers(given, {"sleep": self._chance.choice([None, 1, 2])})
            case "pause":
                await limits.pause(handler, "a caller")
            case "resume":
                await limits.resume(handler)

    async def settle(self, node: SimulatedNode) -> None:
        """End every pause, and set low numbers: all tasks come to their end although most have to wait for slots."""
        with suppress(StoreUnavailableError):
            await node.executor.limits.store.set_numbers({"api": 1, "db": 1}, {"sleep": 2})
        for handler in ("sleep", None):
            with suppress(StoreUnavailableError):
                await node.executor.limits.store.resume(handler)

    # What has to hold

    def look(self, data: Mapping[str, Any], records: Mapping[int, StoredRecord]) -> None:
        """See that one call of the server has kept the promises."""
        if not self.are_used:
            return
        before, self._seen = self._seen, _see(data, records)
        self._look_at_slots(data)
        in_use_before = before.in_use()
        for key, number in self._seen.in_use().items():
            most = max(before.most(key), self._seen.most(key), in_use_before[key])
            demand(number <= most, "no limit is exceeded", key, number, most)
        self._look_at_starts(before)

    def _look_at_slots(self, data: Mapping[str, Any]) -> None:
        running = self._seen.running()
        kept = "limits" in data.get(f"{KEY}:head", {})
        entries = {_entry(key, number) for number, record in running.items() for key in keys_of(record)}
        slots = set(data.get(f"{KEY}:slots", {}))
        demand(slots == (entries if kept else set()), "slots in use are running tasks", slots, entries, kept)

    def _look_at_starts(self, before: _Seen) -> None:
        started = self._seen.running().keys() - before.running().keys()
        if not started:
            return
        demand(
            not before.paused & self._seen.paused & {"", "sleep"}, "nothing starts in a pause", started, before.paused
        )
        waiting: defaultdict[tuple[Key, ...], list[tuple[int, int]]] = defaultdict(list)
        for number, record in self._seen.records.items():
            if (
                record.state == "pending"
                and before.records.get(number, record).state == "pending"
                and not _crashes(record)
            ):
                waiting[keys_of(record)].append((-record.priority, number))
        for number in started:
            record = self._seen.records[number]
            earlier = [place for place in waiting[keys_of(record)] if place < (-record.priority, number)]
            demand(not earlier, "first come, first started", number, record, earlier)

    def forgot(self, data: Mapping[str, Any], records: Mapping[int, StoredRecord]) -> None:
        """The server has died, and has what it has written."""
        self._seen = _see(data, records)


def _see(data: Mapping[str, Any], records: Mapping[int, StoredRecord]) -> _Seen:
    stored: dict[str, str] = data.get(f"{KEY}:limits", {})
    numbers = {name: int(value) for name, value in stored.items() if not name.startswith("pause:")}
    paused = frozenset(name.removeprefix("pause:") for name in stored if name.startswith("pause:"))
    return _Seen(records, numbers, paused)


def keys_of(record: StoredRecord) -> tuple[Key, ...]:
    """Return the keys whose slots a task uses while it runs: that of its handler first."""
    rare = record.rare
    keys: Any = () if isinstance(rare, bool) else rare.get("limit_keys", ())  # type: ignore[attr-defined]
    return ("", record.handler), *((limit, value) for limit, value in keys)


def _crashes(record: StoredRecord) -> int:
    rare: Any = record.rare
    return 0 if isinstance(rare, bool) else int(rare["crashes"])


def _entry(key: Key, number: int) -> str:
    """Return a member of the index of slots, as the server writes it."""
    return "".join(f"{len(part.encode()):05}:{part}" for part in key) + f"{number:013}"
