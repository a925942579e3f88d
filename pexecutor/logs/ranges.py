"""``Range`` of bytes, RFC 9110 section 14: one range of a log, of which a part may not be kept.

A range counts bytes of the whole output. One that begins in the gap is moved behind it, and one that reaches the gap
ends there: the reply says in ``Content-Range`` which bytes it has (RFC 9110, section 15.3.7, allows less than was
requested).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from .reading import Missing

_RANGE: Final = re.compile(r"bytes=\s*(\d*)-(\d*)\s*", re.IGNORECASE | re.ASCII)

_DIGITS_MAX: Final = 18
"""No log has a byte whose number has more digits."""


class ByteRange(NamedTuple):
    """A requested range: from ``first`` to ``last``, both included, or without ``first``, the last ``last`` bytes."""

    first: int | None
    last: int | None


def parse_range(values: Sequence[str]) -> ByteRange | None:
    """Return the range that a header requests; ``None`` if there is none, or one that a server must or may ignore."""
    match = _RANGE.fullmatch(values[0]) if len(values) == 1 else None
    if match is None or not (match[1] or match[2]):
        return None
    first, last = (_number(digits) if digits else None for digits in match.groups())
    if first is not None and last is not None and last < first:
        return None
    return ByteRange(first, last)


def _number(digits: str) -> int:
    """Return a number; instead of one with too many digits, a lower one that is behind the end of every log."""
    digits = digits.lstrip("0") or "0"
    return int(digits) if len(digits) <= _DIGITS_MAX else 10**_DIGITS_MAX


def resolve(requested: ByteRange, total: int, gap: Missing | None) -> tuple[int, int] | None:
    """Return the places of the first byte and behind the last byte to send; ``None`` if there are no such bytes."""
    if requested.first is None:
        begin, end = max(0, total - (requested.last or 0)), total
    else:
        begin, end = requested.first, total if requested.last is None else min(total, requested.last + 1)
    if gap is not None and gap.begin <= begin < gap.end:
        end = max(end, min(total, gap.end + end - begin))  # of the same length, behind the gap
        begin = gap.end
    elif gap is not None and begin < gap.begin < end:
        end = gap.begin
    return (begin, end) if begin < end else None
