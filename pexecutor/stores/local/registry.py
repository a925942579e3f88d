"""``ShardedLockDict``: the holder of each name, and locks for decisions about names.

Deciding whether a name is held and making the result durable must be one step for every other caller, although the
second half awaits a disk. So a caller that decides about names first takes the locks of their shards::

    async with registry.locked(names):
        ...decide, make durable, publish...

Another decision about one of these names waits until this one is published; a decision about a name of another shard
does not wait. So a write that fails never causes a "duplicate" of a task that does not exist.

The shard of a name is the same in every process, so a simulated run can be repeated in another process.

Invariants:

* an entry changes only while the caller holds the lock of its shard; every method that changes an entry checks that;
* the locks of a decision are taken all at once and never nested, so there are no deadlocks;
* reading one entry needs no lock: between two awaits no other code runs.

The locks are for correctness, not for speed. Roads not taken: one lock for all names (every submit would wait for every
other submit's disk write), and a lock per name (a second table to keep consistent with this one, and to clean up).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Generic, TypeVar
from zlib import crc32

import msgspec

from .shard_locks import ShardLocks, ShardsTaken

V = TypeVar("V")

SHARDS: Final = 1024
"""The number of shards: enough that callers who submit a task each at the same time rarely need the same shard."""

_NAMES_A_LOCK_EACH_MAX: Final = 256
"""The longest list of names that takes locks one by one. A longer one takes all, as it would meet any other anyway."""


class RegistryStatistics(msgspec.Struct, frozen=True):
    """The number of held names, and the contention of the shards."""

    names_held: int
    shards_locked: int
    decisions_waiting: int


class ShardedLockDict(Generic[V]):
    """A dict from name to record, with a lock for each shard of the names.

    Parameters:
        shards: the number of shards; with more shards, more decisions can wait for the disk at the same time.
    """

    def __init__(self, shards: int = SHARDS) -> None:
        if shards < 1:
            raise ValueError("shards must be at least 1")
        # A dict for each shard: a dict that outgrows its table is copied at once, and copying a small one is quick.
        # Changed by __setitem__, __delitem__, hold_all() and free_all().
        self._entries: list[dict[str, V]] = [{} for _ in range(shards)]
        self._shards = shards
        self._locks = ShardLocks()

    def locked(self, names: Sequence[str]) -> ShardsTaken:
        """Return an async context in which only the caller decides about these names."""
        return self._locks.locked(self._locks_of(names))

    def all_locked(self) -> ShardsTaken:
        """Return an async context in which only the caller decides about any name."""
        return self._locks.locked(self._all_shards)

    @contextmanager
    def locked_nowait(self, names: Sequence[str]) -> Iterator[bool]:
        """Open a context that yields whether the caller has the locks of these names. The caller must not await in it.

        It yields ``False`` if another caller holds one of the locks or waits for it.
        """
        shards = self._locks_of(names)
        if not self._locks.take_nowait(shards):
            yield False
            return
        try:
            yield True
        finally:
            self._locks.give_back(shards)

    def get(self, name: str) -> V | None:
        """Return the record that holds the name, or ``None`` if the name is free."""
        [shard] = self._shards_of([name])
        return self._entries[shard].get(name)

    def holds_any(self, names: Collection[str]) -> bool:
        """Return whether one of these names is held."""
        entries = self._entries
        for name, shard in zip(names, self._shards_of(names), strict=True):  # noqa: SIM110  # a generator takes longer
            if name in entries[shard]:
                return True
        return False

    def __setitem__(self, name: str, record: V) -> None:
        self.hold_all([name], [record])

    def __delitem__(self, name: str) -> None:
        self.free_all([name])

    def hold_all(self, names: Sequence[str], records: Iterable[V]) -> None:
        """Set many entries. Raises ``RuntimeError`` if one of their locks is not held."""
        for name, shard, record in zip(names, self._locked_shards_of(names), records, strict=True):
            self._entries[shard][name] = record

    def free_all(self, names: Sequence[str]) -> None:
        """Delete many entries. Raises ``RuntimeError`` if one of their locks is not held."""
        for name, shard in zip(names, self._locked_shards_of(names), strict=True):
            del self._entries[shard][name]

    def __len__(self) -> int:
        return sum(map(len, self._entries))

    def statistics(self) -> RegistryStatistics:
        """Return a snapshot for observers."""
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

    @property
    def _all_shards(self) -> int:
        return (1 << self._shards) - 1

    def _locks_of(self, names: Sequence[str]) -> int:
        if len(names) > _NAMES_A_LOCK_EACH_MAX:
            return self._all_shards
        locks = 0
        for shard in self._shards_of(names):
            locks |= 1 << shard
        return locks

    def _shards_of(self, names: Iterable[str]) -> list[int]:
        """Return the shard of each name. The names come many at a time, as a call for each would cost more than it."""
        shards = self._shards
        return [crc32(name.encode("utf-8", "surrogatepass")) % shards for name in names]

    def _locked_shards_of(self, names: Sequence[str]) -> list[int]:
        """Return the shard of each name. Raises ``RuntimeError`` if the lock of one of them is not held."""
        shards, taken = self._shards_of(names), self._locks.taken
        for name, shard in zip(names, shards, strict=True):
            if not taken >> shard & 1:
                raise RuntimeError(f"the name {name!r} was changed without its lock: change it within locked()")
        return shards
