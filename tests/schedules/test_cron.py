"""Cron expressions around the changes of three zones, in both directions, and against a search of every minute."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime
from itertools import pairwise
from random import Random
from typing import Any, Final
from zoneinfo import ZoneInfo

import cronsim
import pytest

from pexecutor.schedules import cron
from pexecutor.schedules.cron import CronTimes

from .matching import DAY_SECONDS, every_time

BERLIN: Final = "Europe/Berlin"
NEW_YORK: Final = "America/New_York"
LORD_HOWE: Final = "Australia/Lord_Howe"
"""Its summer time is half an hour."""

CHANGES: Final = {
    (BERLIN, "forward"): "2027-03-28T01:00",
    (BERLIN, "back"): "2027-10-31T01:00",
    (NEW_YORK, "forward"): "2027-03-14T07:00",
    (NEW_YORK, "back"): "2027-11-07T06:00",
    (LORD_HOWE, "forward"): "2027-10-02T15:30",
    (LORD_HOWE, "back"): "2027-04-03T15:00",
}
"""The instants of the changes, in UTC."""

each_change = pytest.mark.parametrize(("zone", "change"), CHANGES)

TABLE: Final[list[tuple[str, str, str, str, list[str]]]] = [
    # A time that does not exist fires right after the gap, and only on that day.
    (BERLIN, "30 2 * * *", "2027-03-27T12:00+01:00", "gap", ["03-28 03:00 CEST", "03-29 02:30 CEST"]),
    (NEW_YORK, "30 2 * * *", "2027-03-13T12:00-05:00", "gap", ["03-14 03:00 EDT", "03-15 02:30 EDT"]),
    (LORD_HOWE, "15 2 * * *", "2027-10-02T12:00+10:30", "gap", ["10-03 02:30 +11", "10-04 02:15 +11"]),
    # Two such times are one, and so is a time at the end of the gap.
    (BERLIN, "0,30 2,3 * * *", "2027-03-28T00:00+01:00", "gap", ["03-28 03:00 CEST", "03-28 03:30 CEST"]),
    # A time that exists twice fires the first time.
    (BERLIN, "30 2 * * *", "2027-10-30T12:00+02:00", "twice", ["10-31 02:30 CEST", "11-01 02:30 CET"]),
    (NEW_YORK, "30 1 * * *", "2027-11-06T12:00-04:00", "twice", ["11-07 01:30 EDT", "11-08 01:30 EST"]),
    (LORD_HOWE, "45 1 * * *", "2027-04-03T12:00+11:00", "twice", ["04-04 01:45 +11", "04-05 01:45 +1030"]),
    # Also if the search begins between the two, or in the second.
    (BERLIN, "45 2 * * *", "2027-10-31T02:30+01:00", "twice", ["11-01 02:45 CET"]),
    (BERLIN, "45 2 * * *", "2027-10-31T02:30+02:00", "twice", ["10-31 02:45 CEST", "11-01 02:45 CET"]),
    # Wildcards follow elapsed time: they fire in both passes, and not at all in a gap.
    (BERLIN, "*/30 2 * * *", "2027-10-31T00:00+02:00", "both", ["10-31 02:00 CEST", "10-31 02:30 CEST",
                                                                 "10-31 02:00 CET", "10-31 02:30 CET"]),
    (BERLIN, "0 * * * *", "2027-03-28T00:30+01:00", "hourly", ["03-28 01:00 CET", "03-28 03:00 CEST"]),
    (BERLIN, "0 * * * *", "2027-10-31T01:30+02:00", "hourly", ["10-31 02:00 CEST", "10-31 02:00 CET"]),
    (BERLIN, "* 2 * * *", "2027-03-28T00:00+01:00", "none", ["03-29 02:00 CEST"]),
    (NEW_YORK, "*/30 1 * * *", "2027-11-07T00:00-04:00", "both", ["11-07 01:00 EDT", "11-07 01:30 EDT",
                                                                   "11-07 01:00 EST", "11-07 01:30 EST"]),
    (LORD_HOWE, "*/20 1 * * *", "2027-04-04T01:10+11:00", "both", ["04-04 01:20 +11", "04-04 01:40 +11",
                                                                   "04-04 01:40 +1030", "04-05 01:00 +1030"]),
    (LORD_HOWE, "* 3 * * *", "2027-10-03T00:10+10:30", "whole", ["10-03 03:00 +11", "10-03 03:01 +11"]),
    # The zone has no say in UTC.
    ("UTC", "30 2 * * *", "2027-03-28T00:00+00:00", "utc", ["03-28 02:30 UTC", "03-29 02:30 UTC"]),
]  # fmt: skip


def instant(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def shown(time: float | None, zone: str) -> str:
    assert time is not None
    return datetime.fromtimestamp(time, ZoneInfo(zone)).strftime("%m-%d %H:%M %Z")


@pytest.mark.parametrize(("zone", "expression", "begin", "kind", "wanted"), TABLE)
def test_times_around_a_change(zone: str, expression: str, begin: str, kind: str, wanted: list[str]) -> None:
    times = CronTimes(expression, ZoneInfo(zone))
    found: list[float] = []
    time: float | None = instant(begin)
    for _ in wanted:
        assert time is not None
        time = times.after(time)
        found.append(time or 0)
    assert [shown(time, zone) for time in found] == wanted
    for earlier, later in pairwise(found):
        assert times.until(later) == later
        assert times.until(later - 1) == earlier
        assert times.until(later - 0.001) == earlier


FIELDS: Final = (
    ["*", "*/7", "*/30", "0", "30", "15,45", "10-20", "59"],
    ["*", "*/2", "0", "1", "2", "3", "2,3", "1-3", "23"],
    ["*", "*", "*", "1-15", "31"],
    ["*"],
    ["*", "*", "*", "6,0", "1-5", "7"],
)


@each_change
def test_times_are_those_of_a_search_of_every_minute(zone: str, change: str) -> None:
    random = Random(f"{zone} {change}")
    middle = round(instant(f"{CHANGES[zone, change]}+00:00"))
    begin, end = middle - 2 * DAY_SECONDS, middle + 2 * DAY_SECONDS
    for _ in range(8):
        expression = " ".join(map(random.choice, FIELDS))
        wanted, times = every_time(expression, ZoneInfo(zone), begin, end), CronTimes(expression, ZoneInfo(zone))
        near = [time + by for time in random.choices(wanted or [middle], k=20) for by in (-1, 0, 1800, -1800)]
        for time in [*(time for time in near if begin <= time < end), *range(middle - 7200, middle + 7200, 300)]:
            place = bisect_right(wanted, time)
            after, until = times.after(time), times.until(time)
            told = f"{expression!r} {time - middle} s after the change"
            assert (wanted[place] if place < len(wanted) else None) == within(after, begin, end), told
            assert (wanted[place - 1] if place else None) == within(until, begin, end), told


def within(time: float | None, begin: int, end: int) -> float | None:
    return time if time is not None and begin <= time < end else None


def test_a_month_of_missed_minutes_takes_a_few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = 0

    class Counted(cronsim.CronSim):
        def __next__(self) -> datetime:
            nonlocal steps
            steps += 1
            return super().__next__()

    monkeypatch.setattr(cron, "CronSim", Counted)
    times = CronTimes("* * * * *", ZoneInfo(BERLIN))
    now = instant("2027-04-15T12:00:30+00:00")
    assert times.until(now) == now - 30
    assert steps == 1
    assert times.after(now - 31 * DAY_SECONDS) == now + 30 - 31 * DAY_SECONDS
    assert steps == 2


def test_leap_days_are_found_without_looking_at_every_day_of_the_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0
    offset = CronTimes._offset

    def counted(self: CronTimes, time: int) -> int:
        nonlocal looks
        looks += 1
        return offset(self, time)

    monkeypatch.setattr(CronTimes, "_offset", counted)
    times = CronTimes("* * 29 2 *", ZoneInfo(BERLIN))
    assert shown(times.after(instant("2028-03-01T00:00+01:00")), BERLIN) == "02-29 00:00 CET"
    assert looks < 1000


def test_an_expression_that_never_comes() -> None:
    times: Any = CronTimes("0 0 31 2 1#5", ZoneInfo("UTC"))
    assert shown(times.after(instant("2027-01-01T00:00+00:00")), "UTC") == "02-29 00:00 UTC"  # either day will do
    assert CronTimes("0 0 29 2 */8", ZoneInfo("UTC")).after(datetime(9990, 1, 1, tzinfo=UTC).timestamp()) is None
