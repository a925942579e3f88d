"""``NextTimes``: the next times of schedules, remembered by generation because a cron expression is slow to compute."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from ..errors import InvalidScheduleError
from ..stores.schedules import NextTime, Schedule
from .times import SHOWN, next_time

REMEMBERED_MAX: Final = 10_000
"""The number of schedules whose next times are remembered."""


class NextTimes:
    """The next times of schedules, as callers see them."""

    def __init__(self) -> None:
        # Only of() changes it. The last entry is that of the schedule that was requested last.
        self._remembered: OrderedDict[int, list[NextTime]] = OrderedDict()

    def of(self, schedule: Schedule) -> list[NextTime]:
        """Return the next times of a stored schedule, beginning with its next time."""
        known = self._remembered.pop(schedule.generation, [])
        if schedule.next is None:
            return []
        times = known[known.index(schedule.next) :] if schedule.next in known else [schedule.next]
        _extend(times, schedule)
        self._remembered[schedule.generation] = times
        if len(self._remembered) > REMEMBERED_MAX:
            self._remembered.popitem(last=False)
        return times


def _extend(times: list[NextTime], schedule: Schedule) -> None:
    try:
        while len(times) < SHOWN and (later := next_time(schedule.name, schedule.definition, times[-1].at)) is not None:
            times.append(later)
    except InvalidScheduleError:  # the system no longer has the time zone: the other schedules are shown all the same
        pass
