"""``BySerial``: a dict of records that is split into small parts.

A dict that outgrows its table is copied into a larger one at once. At the 700,000th entry this blocks the process for
some 30 ms. Serials ascend, so the parts are filled one after the other, and each stays small.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any, Final, TypeVar

PART_BITS: Final = 13
"""How many low bits of a serial select its entry within a part, so a part has at most 8,192 entries."""

V = TypeVar("V")


class BySerial(MutableMapping[int, V]):
    """Records by their serial."""

    def __init__(self) -> None:
        # Keyed by the high bits of the serials. A part that becomes empty is removed by __delitem__.
        self._parts: defaultdict[int, dict[int, V]] = defaultdict(dict)

    def put_all(self, serials: Sequence[int], records: Sequence[V]) -> None:
        """Set many entries."""
        if (part := self._part_of_all(serials)) is not None:
            part.update(zip(serials, records, strict=True))
        else:
            for serial, record in zip(serials, records, strict=True):
                self[serial] = record

    def get_all(self, serials: Sequence[int]) -> list[V]:
        """Return the records with these serials. Raises ``KeyError`` if one is missing."""
        part: Mapping[int, V] | None = self._part_of_all(serials)
        there = self if part is None else part
        return [there[serial] for serial in serials]

    def get_each(self, serials: Sequence[int]) -> list[V | None]:
        """Return the record of each serial, or ``None`` if it is missing."""
        if not serials or (high := min(serials) >> PART_BITS) != max(serials) >> PART_BITS:
            return [self.get(serial) for serial in serials]
        part = self._parts.get(high, {})
        return [part.get(serial) for serial in serials]

    def remove_all(self, serials: Sequence[int]) -> None:
        """Delete many entries."""
        part = self._part_of_all(serials)
        if part is None or len(part) == len(serials):  # __delitem__ also removes a part that becomes empty
            for serial in serials:
                del self[serial]
        else:
            for serial in serials:
                del part[serial]

    def _part_of_all(self, serials: Sequence[int]) -> dict[int, V] | None:
        """Return the part to which all of these serials belong, or ``None`` if they belong to several."""
        if not serials or (high := min(serials) >> PART_BITS) != max(serials) >> PART_BITS:
            return None
        return self._parts[high]

    def __setitem__(self, serial: int, record: V) -> None:
        self._parts[serial >> PART_BITS][serial] = record

    def __getitem__(self, serial: int) -> V:
        return self._parts.get(serial >> PART_BITS, {})[serial]

    def get(self, serial: int, default: Any = None) -> Any:
        """Return the record with this serial, or ``default``."""
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
