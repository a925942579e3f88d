"""The times of a schedule: intervals without drift, `until`, jitter, and definitions that are refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final

import pytest

from pexecutor import Task
from pexecutor.errors import InvalidScheduleError
from pexecutor.schedules.times import check_times, latest_time, next_time, next_times
from pexecutor.stores.schedules import Definition, NextTime

START: Final = datetime(2027, 1, 15, 8, 0, 0, 123_000, tzinfo=UTC)
AT: Final = START.timestamp()


def definition(**fields: Any) -> Definition:
    return Definition(Task("task"), **fields)


def every(ms: int, **fields: Any) -> Definition:
    return definition(every=ms, start_at=START, **fields)


def test_a_hundred_thousand_occurrences_do_not_drift() -> None:
    schedule = every(1001)
    time = next_time("s", schedule, AT - 1)
    for number in range(100_000):
        assert time is not None
        assert time.at == (round(AT * 1000) + number * 1001) / 1000
        assert latest_time("s", schedule, time.at) == time
        time = next_time("s", schedule, time.at)


def test_a_cron_expression_does_not_drift() -> None:
    schedule = definition(cron="*/5 * * * *", timezone="Europe/Berlin")
    times = next_times("s", schedule, next_time("s", schedule, AT), 2000)
    assert {later.at - earlier.at for earlier, later in pairwise(times)} == {300.0}


def test_an_interval_begins_at_its_start() -> None:
    schedule = every(60_000)
    assert next_time("s", schedule, AT - 1000) == NextTime(AT, AT)
    assert next_time("s", schedule, AT) == NextTime(AT + 60, AT + 60)
    assert latest_time("s", schedule, AT - 0.001) is None
    assert latest_time("s", schedule, AT + 59.999) == NextTime(AT, AT)


def test_a_time_between_two_milliseconds() -> None:
    schedule = every(60_000)
    assert next_time("s", schedule, AT - 0.0004) == NextTime(AT, AT)
    assert latest_time("s", schedule, AT - 0.0004) is None
    assert latest_time("s", schedule, AT + 59.9996) == NextTime(AT, AT)


def test_nothing_comes_after_the_end() -> None:
    schedule = every(60_000, until=START + timedelta(minutes=2))
    times = next_times("s", schedule, next_time("s", schedule, AT))
    assert [time.at - AT for time in times] == [60, 120]
    latest = latest_time("s", schedule, AT + 7200)
    assert latest is not None
    assert latest.at == AT + 120
    assert next_times("s", schedule, None) == []


def test_jitter_belongs_to_the_occurrence() -> None:
    schedule = every(60_000, jitter=30_000)
    times = next_times("s", schedule, next_time("s", schedule, AT - 1), 200)
    assert times == next_times("s", schedule, next_time("s", schedule, AT - 1), 200)
    waits = [round((time.due_at - time.at) * 1000) for time in times]
    assert all(0 <= wait <= 30_000 for wait in waits)
    assert len(set(waits)) > 190
    other = next_time("other", schedule, AT - 1)
    assert other is not None
    assert other.due_at != times[0].due_at


def test_the_latest_time_is_the_one_whose_jitter_is_over() -> None:
    schedule = every(60_000, jitter=60_000)
    times = next_times("s", schedule, next_time("s", schedule, AT - 1), 50)
    for earlier, later in pairwise(times):
        if earlier.due_at < later.due_at:
            assert latest_time("s", schedule, later.due_at) == later
            assert latest_time("s", schedule, later.due_at - 0.001) == earlier


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ({"cron": "@daily"}, "cron", "'@daily' is not supported: write \"0 0 [*] [*] [*]\" instead"),
        ({"cron": "* * * *"}, "cron", 'must have five fields .*, for example "0 3 \\* \\* \\*"; it has 4'),
        ({"cron": "0 * * * * *"}, "cron", "it has 6"),
        ({"cron": " "}, "cron", "it has 0"),
        ({"cron": "61 * * * *"}, "cron", r"its minute is invalid \(0 to 59.*for example"),
        ({"cron": "0 24 * * *"}, "cron", r"its hour is invalid \(0 to 23.*for example"),
        ({"cron": "0 3 0 * *"}, "cron", "its day of month is invalid .*for example"),
        ({"cron": "0 3 * NOV-13 *"}, "cron", "its month is invalid .*for example"),
        ({"cron": "0 3 * * MOON"}, "cron", "its day of week is invalid .*for example"),
        ({"cron": "0 3 * * *", "timezone": "Europe/Berln"}, "timezone", "'Europe/Berln' is unknown: give .*\"UTC\""),
        ({"cron": "0 3 * * *", "timezone": "Europe"}, "timezone", "'Europe' is unknown"),
        ({"cron": "0 3 * * *", "timezone": "../secret"}, "timezone", "'../secret' is unknown"),
        ({"cron": "0 3 * * *", "timezone": "a\0b"}, "timezone", r"'a\\x00b' is unknown"),
        ({"cron": "*/5 * * * *", "jitter": 300_001}, "jitter", "at most the time between two occurrences, 300000"),
    ],
)
def test_an_invalid_definition_is_refused_with_an_example(fields: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(InvalidScheduleError, match=message) as caught:
        check_times("s", definition(**fields), AT)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "give either `cron` or `every`, for example"),
        ({"cron": "* * * * *", "every": 1000}, "give either `cron` or `every`"),
        ({"every": 1000, "timezone": "Europe/Berlin"}, "`timezone` belongs to `cron`"),
        ({"cron": "* * * * *", "start_at": START}, "`start_at` belongs to `every`"),
    ],
)
def test_fields_that_do_not_go_together(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        definition(**fields)


def test_a_definition_is_bounded() -> None:
    with pytest.raises(ValueError, match="a schedule must be at most 65536 bytes of JSON"):
        Definition(Task("task", params={"a": "x" * 65_500}), cron="* * * * *")
