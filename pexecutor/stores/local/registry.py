"""``ShardedLockDict``: who holds which name, and the right to decide about it.

Deciding "is this name held?" and making the answer durable must be one step to everybody else, and the second
half awaits a disk. So whoever decides about names first takes the locks of their shards::

    async with registry.locked(names):
        ...decide, make durable, publish...

Another decision about one of these names waits for the verdict; a name of another shard does not. A write that
fails can thus never have made somebody else a "duplicate" of a task that does not exist.

A name's shard is the same in every process, so a simulated run can be repeated in another one.

Invariants:

* an entry changes only under its shard's lock, or in a step that awaits nothing while nobody has that lock;
* the locks of a decision are taken all at once and never nested, so no two decisions can wait for each other;
* reading one entry needs no lock: between two awaits nothing else runs.

It buys exactness, not speed. The entries are in parts of their own, by the hash that Python has of a name anyway: a
dict that outgrows its table is copied at once, and a small one is copied soon. Roads not taken: one lock for everything
(each submit would wait for each other's disk write), and a lock a name (a second table to keep in step with this one,
and to clean).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Generic, TypeVar
from zlib import crc32

import msgspec

from .shard_locks import ShardLocks, ShardsTaken

V = TypeVar("V")

SHARDS: Final = 1024
"""Enough that those who submit a task each, at the same time, rarely meet in one."""

_NAMES_A_LOCK_EACH_MAX: Final = 256
"""A longer list of names takes every lock: it would meet any other one anyway."""

_PARTS: Final = 256
"""Parts grow at about the same number of names; the more there are, the further apart, and the less in one batch."""

_LAST_PART: Final = _PARTS - 1


class RegistryStatistics(msgspec.Struct, frozen=True):
    """How many names are held, and how contended the shards are."""

    names_held: int
    shards_locked: int
    decisions_waiting: int


class ShardedLockDict(Generic[V]):
    """A dict from name to record, and a lock for each shard of the names.

    Parameters:
        shards: how many; more shards let more decisions wait for the disk side by side.
    """

    def __init__(self, shards: int = SHARDS) -> None:
        if shards < 1:
            raise ValueError("shards must be at least 1")
        # Changed by __setitem__ and __delitem__ under the name's lock, and by hold_all() and free_all().
        self._entries: list[dict[str, V]] = [{} for _ in range(_PARTS)]
        self._shards = shards
        self._locks = ShardLocks()

    def locked(self, names: Sequence[str]) -> ShardsTaken:
        """An async context in which the caller alone decides about these names."""
        if len(names) > _NAMES_A_LOCK_EACH_MAX:
            return self.all_locked()
        shards = 0
        for name in names:
            shards |= 1 << self._shard(name)
        return self._locks.locked(shards)

    def all_locked(self) -> ShardsTaken:
        """The same for every name there may be."""
        return self._locks.locked((1 << self._shards) - 1)

    def get(self, name: str) -> V | None:
        """The record that holds the name, or ``None`` when it is free."""
        return self._entries[hash(name) & _LAST_PART].get(name)

    def holds_any(self, names: Iterable[str]) -> bool:
        """Whether one of these names is held."""
        entries = self._entries
        for name in names:  # noqa: SIM110  # a generator would take half as long again
            if name in entries[hash(name) & _LAST_PART]:
                return True
        return False

    def decided_about(self, name: str) -> bool:
        """Whether somebody decides about this name at present."""
        return bool(self._locks.taken >> self._shard(name) & 1)

    def __setitem__(self, name: str, record: V) -> None:
        self._demand_locked(name)
        self._entries[hash(name) & _LAST_PART][name] = record

    def __delitem__(self, name: str) -> None:
        self._demand_locked(name)
        del self._entries[hash(name) & _LAST_PART][name]

    def hold_all(self, names: Iterable[str], records: Iterable[V]) -> None:
        """Set many entries, by a caller that has their locks, or awaits nothing and knows that nobody has."""
        entries = self._entries
        for name, record in zip(names, records, strict=True):
            entries[hash(name) & _LAST_PART][name] = record

    def free_all(self, names: Iterable[str]) -> None:
        """Delete many entries, on the same condition."""
        entries = self._entries
        for name in names:
            del entries[hash(name) & _LAST_PART][name]

    def __len__(self) -> int:
        return sum(map(len, self._entries))

    def statistics(self) -> RegistryStatistics:
        """A snapshot for observers."""
        return RegistryStatistics(
            names_held=len(self),
            shards_locked=self._locks.taken.bit_count(),
            decisions_waiting=self._locks.waiting(),
        )

    def __repr__(self) -> str:
        held = self.statistics()
        return (
            f"<ShardedLockDict {held.names_held} held, "
            f"{held.shards_locked} of {self._shards} shards locked, {held.decisions_waiting} waiting>"
        )

    def _shard(self, name: str) -> int:
        return crc32(name.encode(errors="surrogatepass")) % self._shards

    def _demand_locked(self, name: str) -> None:
        if not self.decided_about(name):
            raise RuntimeError(f"the name {name!r} was changed outside of locked()")
