"""Format schedules of the API as short texts; times for people are in the local time zone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from .record_text import ago, members, one_line, span

Schedule = Mapping[str, Any]


def local(timestamp: str) -> str:
    """Return a timestamp of the API in the local time zone, with the zone's name."""
    return datetime.fromisoformat(timestamp).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")


def unchanged(timestamp: str) -> str:
    """Return a timestamp as in the API, for programs."""
    return timestamp


def times_of(schedule: Schedule) -> str:
    """Return the times of a schedule in one line: its cron expression and zone, or its interval."""
    if "cron" in schedule:
        zone = "" if schedule["timezone"] == "UTC" else f" {schedule['timezone']}"
        return one_line(schedule["cron"] + zone)
    return f"every {span(schedule['every'] / 1000)}"


def upcoming(schedule: Schedule, shown: Callable[[str], str]) -> str:
    """Return the next time of a schedule; ``paused`` or ``none`` if it has no next time."""
    if schedule["paused"]:
        return "paused"
    return shown(schedule["next"][0]) if schedule["next"] else "none"


def latest(schedule: Schedule) -> str:
    """Return what happened last, as in ``fired`` or ``held 3 times``; ``""`` if nothing has."""
    if not schedule["occurrences"]:
        return ""
    occurrence = schedule["occurrences"][0]
    if "skipped" not in occurrence:
        return "fired"
    count = occurrence["count"]
    return one_line(occurrence["skipped"]) + (f" {count} times" if count > 1 else "")


def latest_with_age(schedule: Schedule) -> str:
    """Return what happened last, and how long ago."""
    if not schedule["occurrences"]:
        return ""
    occurrence = schedule["occurrences"][0]
    return f"{latest(schedule)}, {ago(occurrence.get('last_at', occurrence['at']))}"


def details_of(schedule: Schedule) -> Iterator[tuple[str, str]]:
    """Yield the names and values of all facts about a schedule, for people."""
    yield "name", one_line(schedule["name"])
    yield "times", times_of(schedule)
    for member in ("start_at", "until"):
        if member in schedule:
            yield member, local(schedule[member])
    rest = {name: schedule[name] for name in ("jitter", "catch_up", "late_max", "paused", "owner", "task")}
    yield from members(rest)
    for time in schedule["next"]:
        yield "next", local(time)
    for occurrence in schedule["occurrences"]:
        yield "occurrence", _occurrence(occurrence)


def _occurrence(occurrence: Mapping[str, Any]) -> str:
    at = local(occurrence["at"])
    if "skipped" not in occurrence:
        return f"{at}: submitted {one_line(occurrence['task_id'])}"
    text = f"{at}: skipped, {one_line(occurrence['skipped'])}"
    if "holder_id" in occurrence:
        text += f" by {one_line(occurrence['holder_id'])}"
    if occurrence["count"] > 1:
        text += f", {occurrence['count']} times until {local(occurrence['last_at'])}"
    return text
