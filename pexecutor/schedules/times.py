"""The times of a schedule: the next one, the latest one that has come, and the check of a new definition.

These functions are pure: the caller gives the time. A time counts up to ``until``, and each occurrence has its own
jitter, which depends only on the schedule's name and the occurrence's time. So every node computes the same times.
"""

from __future__ import annotations

import math
from functools import lru_cache
from hashlib import blake2b
from itertools import pairwise
from typing import Final, Protocol
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from ..errors import InvalidScheduleError
from ..stores.schedules import Definition, NextTime
from .cron import EPOCH, CronTimes

SHOWN: Final = 5
"""How many of its next times a schedule shows."""

_EXAMPLE: Final = 'for example "0 3 * * *"'

_NICKNAMES: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_FIELDS: Final = {
    "minute": "0 to 59, as in 30 or */5",
    "hour": "0 to 23, as in 3 or 8-18",
    "day-of-month": "1 to 31, as in 1 or L",
    "month": "1 to 12, as in 6 or JAN-MAR",
    "day-of-week": "0 to 7, as in 0 or MON-FRI",
}
"""The fields of a cron expression by the name that ``cronsim`` gives them, with what they may hold."""


class Times(Protocol):
    """The times of a schedule without ``until`` and ``jitter``, in seconds since 1970."""

    def after(self, time: float) -> float | None:
        """Return the first time after this one, or ``None`` if there is none."""

    def until(self, time: float) -> float | None:
        """Return the last time before this one or equal to it, or ``None`` if there is none."""


class EveryTimes:
    """The times ``start_ms + k * every_ms``, in milliseconds since 1970, for each ``k`` from 0."""

    def __init__(self, start_ms: int, every_ms: int) -> None:
        self._start_ms = start_ms
        self._every_ms = every_ms

    def after(self, time: float) -> float:
        """Return the first time after this one."""
        return self._time(max(0, self._number(time) + 1))

    def until(self, time: float) -> float | None:
        """Return the last time before this one or equal to it, or ``None`` if there is none."""
        number = self._number(time)
        return self._time(number) if number >= 0 else None

    def _number(self, time: float) -> int:
        """Return the number of the last time before this one or equal to it; negative before the first."""
        return (_whole_ms(time) - self._start_ms) // self._every_ms

    def _time(self, number: int) -> float:
        return (self._start_ms + number * self._every_ms) / 1000


def next_time(name: str, definition: Definition, after: float) -> NextTime | None:
    """Return the first time of a schedule after a time, or ``None`` if there is none.

    Raises:
        InvalidScheduleError: the expression or the zone is invalid, or the system does not know the zone.
    """
    return _within(name, definition, _times(definition).after(after))


def latest_time(name: str, definition: Definition, until: float) -> NextTime | None:
    """Return the latest time of a schedule that was due at ``until``, or ``None`` if there is none.

    Raises:
        InvalidScheduleError: the expression or the zone is invalid, or the system does not know the zone.
    """
    times = _times(definition)
    last = math.inf if definition.until is None else definition.until.timestamp()
    at = times.until(min(until, last))
    while at is not None and (latest := _with_jitter(name, definition, at)).due_at > until:
        at = times.until(at - 0.001)  # its jitter is not over yet, so the time before it is the latest
    return None if at is None else latest


def next_times(name: str, definition: Definition, first: NextTime | None, number: int = SHOWN) -> list[NextTime]:
    """Return the next times of a schedule, beginning with ``first``."""
    found: list[NextTime] = []
    while first is not None and len(found) < number:
        found.append(first)
        first = next_time(name, definition, first.at)
    return found


def check_times(name: str, definition: Definition, now: float) -> None:
    """Raise ``InvalidScheduleError``, with a message that shows a valid example, if the times are invalid."""
    times = next_times(name, definition, next_time(name, definition, now))
    if not times and definition.cron is not None and definition.until is None:
        raise InvalidScheduleError("cron", f"`cron`: {definition.cron!r} never comes: give another one, {_EXAMPLE}")
    period = min((later.at - earlier.at for earlier, later in pairwise(times)), default=math.inf)
    if definition.jitter > period * 1000:
        raise InvalidScheduleError(
            "jitter", f"`jitter` must be at most the time between two occurrences, {round(period * 1000)}"
        )


def _within(name: str, definition: Definition, at: float | None) -> NextTime | None:
    if at is None or (definition.until is not None and at > definition.until.timestamp()):
        return None
    return _with_jitter(name, definition, at)


def _with_jitter(name: str, definition: Definition, at: float) -> NextTime:
    if not definition.jitter:
        return NextTime(float(at), float(at))
    at_ms = round(at * 1000)
    digest = blake2b(f"{at_ms} {name}".encode(), digest_size=8).digest()
    return NextTime(float(at), (at_ms + int.from_bytes(digest) % (definition.jitter + 1)) / 1000)


def _times(definition: Definition) -> Times:
    if definition.every is not None:
        assert definition.start_at is not None, "filled in when the schedule is stored"
        return EveryTimes(_whole_ms(definition.start_at.timestamp()), definition.every)
    assert definition.cron is not None, "a definition has one of the two"
    return _cron_times(definition.cron, definition.timezone)


@lru_cache(maxsize=1024)
def _cron_times(expression: str, timezone: str) -> CronTimes:
    _check_expression(expression)
    return CronTimes(expression, _zone(timezone))


def _check_expression(expression: str) -> None:
    fields = expression.split()
    if fields and (instead := _NICKNAMES.get(fields[0].lower())) is not None:
        raise InvalidScheduleError("cron", f'`cron`: {fields[0]!r} is not supported: write "{instead}" instead')
    if len(fields) != len(_FIELDS):
        raise InvalidScheduleError(
            "cron",
            f"`cron` must have five fields (minute, hour, day of month, month, day of week), {_EXAMPLE}; "
            f"it has {len(fields)}",
        )
    try:
        CronSim(expression, EPOCH)
    except CronSimError as error:
        field = str(error).removeprefix("Bad ")
        allowed = _FIELDS.get(field)
        what = f"its {field.replace('-', ' ')} is invalid ({allowed})" if allowed else "it is invalid"
        raise InvalidScheduleError("cron", f"`cron`: {expression!r} cannot be read: {what}, {_EXAMPLE}") from error


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:  # unknown, not the name of a zone, or the name of a folder
        raise InvalidScheduleError(
            "timezone", f'`timezone`: {name!r} is unknown: give a name such as "Europe/Berlin" or "UTC"'
        ) from error


def _whole_ms(time: float) -> int:
    """Return the number of whole milliseconds in a number of seconds, so that a time on a millisecond is exact."""
    ms = round(time * 1000)
    return ms if ms / 1000 <= time else ms - 1
