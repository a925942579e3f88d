"""``BySerial``: a dict of records in parts, none of which is ever large.

A dict that outgrows its table is copied into a larger one, all at once: some 30 ms in which nothing else runs, at the
700,000th entry. Serials are given in ascending order, so one part is filled after the other, and each stays small.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any, Final, TypeVar

PART_BITS: Final = 13
"""How many low bits of a serial tell the records of one part apart: it has 8,192 at most."""

V = TypeVar("V")


class BySerial(MutableMapping[int, V]):
    """Records by their serial."""

    def __init__(self) -> None:
        # By the high bits of its serials, each part that holds a record.
        self._parts: defaultdict[int, dict[int, V]] = defaultdict(dict)

    def put_all(self, serials: Sequence[int], records: Sequence[V]) -> None:
        """Set many entries."""
        if (part := self._part_of_all(serials)) is not None:
            part.update(zip(serials, records, strict=True))
        else:
            for serial, record in zip(serials, records, strict=True):
                self[serial] = record

    def get_all(self, serials: Sequence[int]) -> list[V]:
        """The records with these serials. Raises ``KeyError`` when one is not there."""
        part: Mapping[int, V] | None = self._part_of_all(serials)
        there = self if part is None else part
        return [there[serial] for serial in serials]

    def remove_all(self, serials: Sequence[int]) -> None:
        """Delete many entries."""
        part = self._part_of_all(serials)
        if part is None or len(part) == len(serials):
            for serial in serials:
                del self[serial]
        else:
            for serial in serials:
                del part[serial]

    def _part_of_all(self, serials: Sequence[int]) -> dict[int, V] | None:
        """The part in which all of these belong, if there is one."""
        if not serials or (high := min(serials) >> PART_BITS) != max(serials) >> PART_BITS:
            return None
        return self._parts[high]

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
