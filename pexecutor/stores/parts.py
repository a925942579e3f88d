"""``BySerial``: a dict of records in parts, none of which is ever large.

A dict that outgrows its table is copied into a larger one, all at once: some 30 ms in which nothing else runs, at the
700,000th entry. Serials are given in ascending order, so one part is filled after the other, and each stays small.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, MutableMapping
from typing import Any, Final, TypeVar

PART_BITS: Final = 15
"""How many low bits of a serial tell the records of one part apart: it has 32,768 at most."""

V = TypeVar("V")


class BySerial(MutableMapping[int, V]):
    """Records by their serial."""

    def __init__(self) -> None:
        # By the high bits of its serials, each part that holds a record.
        self._parts: defaultdict[int, dict[int, V]] = defaultdict(dict)

    def put_all(self, records: Iterable[Any]) -> None:
        """Set many entries, each by the serial that the record has."""
        high, part = -1, dict[int, V]()
        for record in records:
            serial = record.serial
            if serial >> PART_BITS != high:
                high = serial >> PART_BITS
                part = self._parts[high]
            part[serial] = record

    def __setitem__(self, serial: int, record: V) -> None:
        self._parts[serial >> PART_BITS][serial] = record

    def __getitem__(self, serial: int) -> V:
        return self._parts.get(serial >> PART_BITS, {})[serial]

    def get(self, serial: int, default: Any = None) -> Any:
        """The record with this serial, if there is one."""
        part = self._parts.get(serial >> PART_BITS)
        return default if part is None else part.get(serial, default)

    def __delitem__(self, serial: int) -> None:
        part = self._parts.get(serial >> PART_BITS, {})
        del part[serial]
        if not part:
            del self._parts[serial >> PART_BITS]

    def __iter__(self) -> Iterator[int]:
        for part in self._parts.values():
            yield from part

    def __len__(self) -> int:
        return sum(map(len, self._parts.values()))
