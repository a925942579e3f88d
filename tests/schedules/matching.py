"""The times of a cron expression by trying every minute: slow, and too simple to be wrong."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
DAY_SECONDS = 24 * 60 * 60


def every_time(expression: str, zone: ZoneInfo, begin: int, end: int) -> list[int]:
    """Return each occurrence from ``begin`` to ``end``, in whole minutes since 1970."""
    minute, hour, *_ = expression.split()
    if minute.startswith("*") or hour.startswith("*"):
        return [instant for instant in range(begin, end, 60) if matches(expression, on_the_wall(instant, zone))]
    instants = set(times_of_days(expression, zone, begin - DAY_SECONDS, end + DAY_SECONDS))
    return sorted(instant for instant in instants if begin <= instant < end)


def times_of_days(expression: str, zone: ZoneInfo, begin: int, end: int) -> Iterator[int]:
    first: dict[datetime, int] = {}
    for instant in range(begin, end, 60):
        first.setdefault(on_the_wall(instant, zone), instant)
    wall, last = min(first), max(first)
    while wall <= last:
        if matches(expression, wall):
            exists = wall
            while exists not in first:  # the end of the gap
                exists += MINUTE
            yield first[exists]
        wall += MINUTE


def on_the_wall(instant: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(instant, zone).replace(tzinfo=None, fold=0)


def matches(expression: str, wall: datetime) -> bool:
    minute, hour, day, month, weekday = expression.split()
    in_month = wall.day in numbers(day, 1, 31)
    in_week = not {wall.isoweekday(), wall.isoweekday() % 7}.isdisjoint(numbers(weekday, 0, 7))
    both = day.startswith("*") or weekday.startswith("*")
    return (
        wall.minute in numbers(minute, 0, 59)
        and wall.hour in numbers(hour, 0, 23)
        and wall.month in numbers(month, 1, 12)
        and (in_month and in_week if both else in_month or in_week)
    )


def numbers(field: str, least: int, most: int) -> set[int]:
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = (f"{least}-{most}" if span == "*" else span).partition("-")
        found.update(range(int(first), int(last or first) + 1, int(step or 1)))
    return found
