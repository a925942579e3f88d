"""Times of day in the local time zone, also when the clocks change."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from pexecutor.cli.local_time import latest_local_time, next_local_time, zoned


@pytest.fixture(autouse=True)
def local_zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The zone of the test's parameter ``zone``, or Berlin."""
    monkeypatch.setenv("TZ", request.node.callspec.params.get("zone", "Europe/Berlin"))
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "now", "meant"),
    [
        ("03:00", "2027-01-10T22:00:00Z", "2027-01-11T03:00:00+01:00"),
        ("03:00", "2027-01-10T01:59:59Z", "2027-01-10T03:00:00+01:00"),
        ("03:00", "2027-01-10T02:00:00Z", "2027-01-11T03:00:00+01:00"),
        ("3:00:30", "2027-01-10T02:00:00Z", "2027-01-10T03:00:30+01:00"),
        ("tomorrow 03:00", "2027-01-10T01:00:00Z", "2027-01-11T03:00:00+01:00"),
        ("tomorrow  00:00", "2027-01-10T22:59:59Z", "2027-01-11T00:00:00+01:00"),
        ("tomorrow 00:00", "2027-01-10T23:00:00Z", "2027-01-12T00:00:00+01:00"),
        ("23:59:59", "2027-12-31T12:00:00Z", "2027-12-31T23:59:59+01:00"),
        ("00:00", "2027-12-31T12:00:00Z", "2028-01-01T00:00:00+01:00"),
    ],
)
def test_the_next_such_time(text: str, now: str, meant: str) -> None:
    found = next_local_time(text, datetime.fromisoformat(now))
    assert found is not None
    assert found.isoformat() == meant


@pytest.mark.parametrize(
    ("zone", "text", "now", "meant"),
    [
        # The clocks of Berlin go from 2:00 to 3:00.
        ("Europe/Berlin", "02:30", "2027-03-27T22:00:00Z", "2027-03-28T03:00:00+02:00"),
        ("Europe/Berlin", "tomorrow 02:00", "2027-03-27T22:00:00Z", "2027-03-28T03:00:00+02:00"),
        ("Europe/Berlin", "01:59:59", "2027-03-27T22:00:00Z", "2027-03-28T01:59:59+01:00"),
        ("Europe/Berlin", "02:30", "2027-03-28T01:00:00Z", "2027-03-29T02:30:00+02:00"),
        # The clocks of Berlin go from 3:00 to 2:00.
        ("Europe/Berlin", "02:30", "2027-10-30T22:00:00Z", "2027-10-31T02:30:00+02:00"),
        ("Europe/Berlin", "02:30", "2027-10-31T00:30:00Z", "2027-10-31T02:30:00+01:00"),
        ("Europe/Berlin", "02:30", "2027-10-31T01:30:00Z", "2027-11-01T02:30:00+01:00"),
        ("Europe/Berlin", "tomorrow 02:30", "2027-10-30T12:00:00Z", "2027-10-31T02:30:00+02:00"),
        # The clocks of Lord Howe go forward by half an hour, and those of Santiago at midnight.
        ("Australia/Lord_Howe", "02:15", "2027-10-02T12:00:00Z", "2027-10-03T02:30:00+11:00"),
        ("America/Santiago", "00:15", "2027-09-04T12:00:00Z", "2027-09-05T01:00:00-03:00"),
        # Samoa left out a whole day.
        ("Pacific/Apia", "tomorrow 12:00", "2011-12-29T20:00:00Z", "2011-12-31T00:00:00+14:00"),
        ("UTC", "02:30", "2027-03-27T22:00:00Z", "2027-03-28T02:30:00+00:00"),
    ],
)
def test_a_change_of_the_clocks(zone: str, text: str, now: str, meant: str) -> None:
    found = next_local_time(text, datetime.fromisoformat(now))
    assert found is not None
    assert (zone, found.isoformat()) == (zone, meant)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
def test_a_year_of_times(zone: str) -> None:
    """The result is later than now, at most two days and shows the time of day, unless that does not exist."""
    now, in_gaps = datetime.fromisoformat("2027-01-01T00:07:00Z"), 0
    for _ in range(365 * 8):
        now += timedelta(hours=3)
        found = next_local_time("02:15", now)
        assert found is not None
        assert now < found <= now + timedelta(hours=25), zone
        in_gaps += (found.hour, found.minute) != (2, 15)
    assert in_gaps in (8, 9)


@pytest.mark.parametrize("text", ["", "3", "24:00", "03:60", "03:00:60", "3am", "today 03:00", "tomorrow", "03:00 UTC"])
def test_another_text_is_not_a_time_of_day(text: str) -> None:
    assert next_local_time(text, datetime.fromisoformat("2027-01-10T22:00:00Z")) is None


@pytest.mark.parametrize(
    ("zone", "shown"),
    [
        ("Europe/Berlin", "2027-03-28 03:00:00 CEST (UTC+02:00)"),
        ("America/Sao_Paulo", "2027-03-27 22:00:00 -03 (UTC-03:00)"),
    ],
)
def test_a_time_is_shown_with_its_zone(zone: str, shown: str) -> None:
    assert (zone, zoned(datetime.fromisoformat("2027-03-28T01:00:00Z"))) == (zone, shown)


@pytest.mark.parametrize(
    ("text", "now", "meant"),
    [
        ("03:00", "2027-01-10T22:00:00Z", "2027-01-10T03:00:00+01:00"),
        ("03:00", "2027-01-10T01:59:59Z", "2027-01-09T03:00:00+01:00"),
        ("03:00", "2027-01-10T02:00:00Z", "2027-01-10T03:00:00+01:00"),
        ("today", "2027-01-10T22:59:59Z", "2027-01-10T00:00:00+01:00"),
        ("today", "2027-01-10T23:00:00Z", "2027-01-11T00:00:00+01:00"),
        ("yesterday", "2027-01-01T12:00:00Z", "2026-12-31T00:00:00+01:00"),
        ("yesterday 3:00:30", "2027-01-10T12:00:00Z", "2027-01-09T03:00:30+01:00"),
        ("today 03:00", "2027-01-10T12:00:00Z", "2027-01-10T03:00:00+01:00"),
        # The clocks of Berlin go from 2:00 to 3:00, and back from 3:00 to 2:00.
        ("02:30", "2027-03-28T10:00:00Z", "2027-03-28T03:00:00+02:00"),
        ("02:30", "2027-10-31T10:00:00Z", "2027-10-31T02:30:00+01:00"),
        ("02:30", "2027-10-31T01:00:00Z", "2027-10-31T02:30:00+02:00"),
    ],
)
def test_the_latest_such_time(text: str, now: str, meant: str) -> None:
    found = latest_local_time(text, datetime.fromisoformat(now))
    assert found is not None
    assert found.isoformat() == meant


@pytest.mark.parametrize(
    "text", ["", "soon", "24:00", "tomorrow 03:00", "today 13:00", "yesterday03:00", "03:00 yesterday"]
)
def test_a_text_that_means_no_past_time(text: str) -> None:
    assert latest_local_time(text, datetime.fromisoformat("2027-01-10T11:00:00Z")) is None
