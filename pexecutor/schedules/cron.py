"""``CronTimes``: the times of a cron expression in a time zone, forwards and backwards.

A cron expression names times on a wall, and a zone turns them into instants. Around a change of the zone's offset, two
kinds of expressions behave as with Debian's cron:

* If the minute or the hour begins with ``*``, elapsed time counts: every instant whose time on the wall matches is an
  occurrence. So a time that exists twice fires twice, and a time that does not exist never fires.
* Otherwise the expression names times of a day: a time that exists twice fires once, the first time, and a time that
  does not exist fires at the end of the gap.

``cronsim`` finds the matching times on the wall, without a zone. Its own treatment of zones is not used: it goes wrong
if it starts within the second pass of a repeated hour, and misses minutes near a change of half an hour. In both
directions, the number of steps does not depend on how many times lie between a time and now.

An instant and a time on the wall are whole seconds here; the latter count since 1970-01-01 on the wall.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim

CHANGE_SECONDS_MIN: Final = 7 * 24 * 60 * 60
"""The shortest time, in seconds, that a zone is assumed to keep an offset."""

EPOCH: Final = datetime(1970, 1, 1)  # a time on the wall has no zone


class CronTimes:
    """The times of a cron expression in a zone.

    Parameters:
        expression: five fields, which ``cronsim`` accepts.
        zone: the time zone.
    """

    def __init__(self, expression: str, zone: ZoneInfo) -> None:
        minute, hour, *_ = expression.split()
        self._expression = expression
        self._zone = zone
        self._follows_elapsed_time = minute.startswith("*") or hour.startswith("*")

    def after(self, time: float) -> float | None:
        """Return the first time after this one, or ``None`` if there is none within fifty years."""
        begin = math.floor(time)
        return self._elapsed_after(begin) if self._follows_elapsed_time else self._daily_after(begin)

    def until(self, time: float) -> float | None:
        """Return the last time before this one or equal to it, or ``None`` if there is none within fifty years."""
        end = math.floor(time)
        return self._elapsed_until(end) if self._follows_elapsed_time else self._daily_until(end)

    # Expressions that follow elapsed time: between two changes of the offset, wall and instants go in step

    def _elapsed_after(self, begin: int) -> int | None:
        since, wall = begin, begin + self._offset(begin)
        while True:
            offset = self._offset(since)
            match = next(self._matches_after(wall), None)
            if match is None:
                return None
            change = self._first_change(since, match - offset)
            if change is None:
                return match - offset
            since, wall = change, change + self._offset(change) - 1

    def _elapsed_until(self, end: int) -> int | None:
        while True:
            offset = self._offset(end)
            match = next(self._matches_until(end + offset), None)
            if match is None:
                return None
            change = self._last_change(match - offset, end)
            if change is None:
                return match - offset
            end = change - 1

    # Expressions that name times of a day: each time on the wall is one instant, and later ones are never earlier

    def _daily_after(self, begin: int) -> int | None:
        instants = map(self._instant, self._matches_after(begin + self._offset(begin)))
        return next((instant for instant in instants if instant > begin), None)

    def _daily_until(self, end: int) -> int | None:
        wall = end + self._offset(end)
        first_pass = self._instant(wall)  # earlier than `end` in the second pass of a repeated hour
        instants = map(self._instant, self._matches_until(wall + max(0, end - first_pass)))
        return next((instant for instant in instants if instant <= end), None)

    def _instant(self, wall: int) -> int:
        """Return the first instant with this time on the wall; if it does not exist, the end of the gap."""
        naive = EPOCH + timedelta(seconds=wall)
        instant = math.floor(naive.replace(tzinfo=self._zone).timestamp())
        offset = self._offset(instant)
        if instant + offset == wall:
            return instant
        return self._change_between(wall - offset, instant)

    # The wall

    def _matches_after(self, wall: int) -> Iterator[int]:
        yield from self._matches(wall, reverse=False)

    def _matches_until(self, wall: int) -> Iterator[int]:
        yield from self._matches(wall + 1, reverse=True)  # the search excludes the time at which it begins

    def _matches(self, wall: int, *, reverse: bool) -> Iterator[int]:
        try:
            for match in CronSim(self._expression, EPOCH + timedelta(seconds=wall), reverse=reverse):
                yield round((match - EPOCH).total_seconds())
        except OverflowError:  # before the year 1, or after the year 9999
            return

    # The zone

    def _offset(self, instant: int) -> int:
        """Return by how many seconds the wall is ahead of UTC."""
        offset = datetime.fromtimestamp(instant, self._zone).utcoffset()
        assert offset is not None, "the time has a zone"
        return round(offset.total_seconds())

    def _first_change(self, since: int, until: int) -> int | None:
        """Return the first instant after ``since``, up to ``until``, at which the offset differs from before."""
        for begin, end in pairwise([*range(since, until, CHANGE_SECONDS_MIN), until]):
            if self._offset(begin) != self._offset(end):
                return self._change_between(begin, end)
        return None

    def _last_change(self, since: int, until: int) -> int | None:
        """Return the last instant after ``since``, up to ``until``, at which the offset differs from before."""
        for end, begin in pairwise([*range(until, since, -CHANGE_SECONDS_MIN), since]):
            if self._offset(begin) != self._offset(end):
                return self._change_between(begin, end)
        return None

    def _change_between(self, before: int, after: int) -> int:
        """Return the first instant at which the offset is the one of ``after``, if it changes once in between."""
        offset = self._offset(after)
        while after - before > 1:
            middle = (before + after) // 2
            if self._offset(middle) == offset:
                after = middle
            else:
                before = middle
        return after
