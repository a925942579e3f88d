"""Find the next or the latest time at which the clocks of the local time zone show a time of day.

The rules for a change of the clocks are those of schedules. A time that does not exist, because the clocks go forward,
stands for the first instant after the gap. Of a time that exists twice, because the clocks go back, the one that is
nearer to now counts.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

_TIME_OF_DAY: Final = re.compile(r"(?:(tomorrow)\s+)?([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?")
_PAST: Final = re.compile(r"(today|yesterday)?(?:(?:^|\s+)([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?)?")
_DAY: Final = timedelta(days=1)


def next_local_time(text: str, now: datetime) -> datetime | None:
    """Return the time that ``03:00`` or ``tomorrow 03:00`` means, or ``None`` if the text is not a time of day.

    Parameters:
        text: the time of day, with or without seconds.
        now: the present time, with a time zone; the result is later.
    """
    if (match := _TIME_OF_DAY.fullmatch(text)) is None:
        return None
    clock = time(int(match[2]), int(match[3]), int(match[4] or 0))
    today = now.astimezone().date()
    days = [today + _DAY] if match[1] else [today, today + _DAY]
    return min(instant for day in days for instant in _instants(day, clock) if instant > now)


def latest_local_time(text: str, now: datetime) -> datetime | None:
    """Return the past time that ``03:00``, ``yesterday`` or ``yesterday 03:00`` means, or ``None`` for another text.

    Parameters:
        text: the day, the time of day, or both; a day alone means its beginning.
        now: the present time, with a time zone; the result is not later.
    """
    match = _PAST.fullmatch(text)
    if match is None or not text:
        return None
    clock = time(int(match[2] or 0), int(match[3] or 0), int(match[4] or 0))
    today = now.astimezone().date()
    days = {None: [today - _DAY, today], "today": [today], "yesterday": [today - _DAY]}[match[1]]
    return max((instant for day in days for instant in _instants(day, clock) if instant <= now), default=None)


def zoned(instant: datetime) -> str:
    """Format a time in the local time zone, with the zone's name and its distance from UTC."""
    local = instant.astimezone()
    return f"{local:%Y-%m-%d %H:%M:%S %Z} (UTC{local.isoformat()[-6:]})"


def _instants(day: date, clock: time) -> list[datetime]:
    """Return the instants at which the local clocks show a time: two equal ones unless the clocks go back."""
    wall = datetime.combine(day, clock)
    # Python reads an ambiguous time as its first occurrence with fold=0, and as its second with fold=1.
    first, second = (_local(wall.replace(fold=fold).timestamp()) for fold in (0, 1))
    if first.replace(tzinfo=None, fold=0) == wall:
        return [first, second]
    # In a gap, fold=0 applies the distance from UTC before the gap, which gives a time after it; fold=1 the reverse.
    return [_first_after_gap(before=second, after=first)]


def _first_after_gap(*, before: datetime, after: datetime) -> datetime:
    """Return the first second after the clocks have gone forward, by halving the time around the change."""
    low, high = int(before.timestamp()), int(after.timestamp())
    while high - low > 1:
        middle = (low + high) // 2
        if _local(middle).utcoffset() == before.utcoffset():
            low = middle
        else:
            high = middle
    return _local(high)


def _local(timestamp: float) -> datetime:
    """Return a time in the local time zone. ``astimezone`` of a naive time would be wrong in a gap."""
    return datetime.fromtimestamp(timestamp, UTC).astimezone()
