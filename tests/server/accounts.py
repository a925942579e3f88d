"""Compare what servers have recorded with what handlers and a receiver of notifications have written."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx2

from .receiver import Notification

LOOK_SECONDS_MAX: Final = 0.6
"""The longest time between two looks during which the servers are believed to have been able to fire."""

LATE_SECONDS_MAX: Final = 2.0
"""How long before and after an occurrence the servers must have replied promptly, so that they could not miss it."""

STALL_SECONDS_MAX: Final = 2
"""How long the servers may be too slow to fire although they reply, on a machine with much to do, in seconds. Only the
latest of the times that pass meanwhile fires, so a schedule with a shorter period may miss some."""

Occurrence = tuple[str, str]
"""The name of a schedule, and a time."""

Subject = tuple[str, str]
"""What a notification is about: the id of a task and its outcome, or a skipped occurrence."""


class Run(NamedTuple):
    """One start of the handler, as it has written it down."""

    task_id: str
    schedule: str
    at: str
    status: str


def read_runs(written: Path) -> list[Run]:
    """Return what the handlers have written."""
    return [Run(*line.split()) for line in written.read_text().splitlines()]


def finished_records(client: httpx2.Client, schedules: Container[str]) -> Iterator[dict[str, Any]]:
    """Yield the records of all finished tasks, with all fields if a schedule has submitted them."""
    place: str | None = "/tasks/finished?limit=1000"
    while place is not None:
        reply = client.get(place)
        for record in reply.json():
            yield client.get(f"/tasks/{record['id']}").json() if record["name"] in schedules else record
        place = reply.links.get("next", {}).get("url")


class Schedules:
    """What the servers have shown of their schedules, at each look.

    Parameters:
        periods: the periods of the schedules, in whole seconds, by name.
    """

    def __init__(self, periods: Mapping[str, int]) -> None:
        self.periods = periods
        self.fired: defaultdict[Occurrence, set[str]] = defaultdict(set)
        self.skipped: dict[Occurrence, dict[str, Any]] = {}
        """The latest state of each entry of skipped occurrences."""
        self._served: list[list[float]] = []
        """The beginning and the end of each time during which each look was answered promptly."""

    def look(self, client: httpx2.Client) -> None:
        """Note the last ten occurrences of each schedule."""
        asked_at = time.time()
        reply = client.get("/schedules")
        now = time.time()
        if reply.status_code != 200:  # the store is in trouble
            return
        self._note_service(asked_at)
        for schedule in reply.json():
            for occurrence in schedule["occurrences"]:
                assert seconds_of(occurrence["at"]) <= now, "before its time"
                place = schedule["name"], occurrence["at"]
                if "task_id" in occurrence:
                    self.fired[place].add(occurrence["task_id"])
                else:
                    self.skipped[place] = occurrence

    def _note_service(self, now: float) -> None:
        if self._served and now - self._served[-1][1] <= LOOK_SECONDS_MAX:
            self._served[-1][1] = now
        else:
            self._served.append([now, now])

    def missed(self, schedule: str, fired: Iterable[Occurrence]) -> list[float]:
        """Return the times of a schedule that were neither fired nor seen as skipped; check that none was both."""
        period = self.periods[schedule]
        known = {seconds_of(at) for name, at in fired if name == schedule}
        for (name, at), entry in self.skipped.items():
            if name == schedule:
                skipped = times_between(seconds_of(at), seconds_of(entry["last_at"]), period)
                assert known.isdisjoint(skipped), f"{name} was fired and skipped, or skipped twice: {entry}"
                known.update(skipped)
        return sorted(set(times_between(min(known), max(known), period)) - known) if known else []

    def was_served(self, time: float) -> bool:
        """Return whether the servers have replied promptly around this time."""
        before, after = time - LATE_SECONDS_MAX, time + LATE_SECONDS_MAX
        return any(begin <= before and after <= end for begin, end in self._served)


def seconds_of(at: str) -> float:
    return datetime.fromisoformat(at).timestamp()


def times_between(first: float, last: float, period: int) -> list[float]:
    """Return the times of a schedule from the first to the last one."""
    return [round(first + number * period, 3) for number in range(round((last - first) / period) + 1)]


def check_occurrences(schedules: Schedules, records: Iterable[dict[str, Any]], runs: Iterable[Run]) -> dict[str, int]:
    """Check that each occurrence was fired once, and that its task ran; return the counts."""
    submitted: defaultdict[Occurrence, set[str]] = defaultdict(set)
    started: defaultdict[Occurrence, list[str]] = defaultdict(list)
    for record in records:
        if record["name"] in schedules.periods:
            submitted[record["name"], record["params"]["at"]].add(record["id"])
    for run in runs:
        if run.schedule in schedules.periods:
            started[run.schedule, run.at].append(run.task_id)
    check_one_each(submitted, "an occurrence was fired twice")
    assert schedules.fired.items() <= submitted.items(), "an occurrence was recorded without its task"
    without_run, without_task = submitted.keys() - started.keys(), started.keys() - submitted.keys()
    assert without_run | without_task == set(), f"no run of {without_run}, no task of {without_task}"
    assert {place: set(ids) for place, ids in started.items()} == submitted, "an occurrence ran as another task"
    missed = {name: schedules.missed(name, submitted) for name in schedules.periods}
    slow = [name for name, period in schedules.periods.items() if period > STALL_SECONDS_MAX]
    lost = [(name, at) for name in slow for at in missed[name] if schedules.was_served(at)]
    assert lost == [], f"neither fired nor skipped while a server was ready: {lost}"
    return {
        "occurrences fired": len(submitted),
        "skipped": sum(entry["count"] for entry in schedules.skipped.values()),
        "missed while no server was quick enough": sum(map(len, missed.values())),
        "runs": sum(map(len, started.values())),
        "runs repeated after a kill": sum(len(ids) - 1 for ids in started.values()),
    }


def check_notifications(
    taken: Collection[Notification],
    records: Iterable[dict[str, Any]],
    runs: Iterable[Run],
    schedules: Schedules,
) -> dict[str, int]:
    """Check that each failure and each new entry of a skip was notified under one id; return the counts."""
    failures = {record["id"]: record["outcome"] for record in records if record["outcome"] != "succeeded"}
    failed = {task_id for task_id, outcome in failures.items() if outcome == "failed"}
    failed_by_handlers = {run.task_id for run in runs if run.status != "0"}
    assert failed <= failed_by_handlers <= failures.keys(), "a failure without a run that failed, or the reverse"

    ids = ids_by_subject(taken)
    causes = failures.items() | schedules.skipped.keys()
    check_one_each(ids, "a failure or a skip was notified under two ids")
    assert causes - ids.keys() == set(), f"not notified: {causes - ids.keys()}"
    for subject, at in ids.keys() - causes:  # skips that nobody has seen, because the servers replied too late
        assert subject in schedules.periods, "a notification without a failure"
        assert not schedules.was_served(seconds_of(at)), "a notification without a skip"
    return {
        "failed": len(failed),
        "abandoned": len(failures) - len(failed),
        "new entries of skips": len(ids) - len(failures),
        "notifications": len(ids),
        "requests that the receiver has taken": len(taken),
        "notifications that it has taken again": len(taken) - len(set(taken)),
    }


def check_one_each(found: Mapping[Subject, Collection[str]], otherwise: str) -> None:
    """Check that there is exactly one id for each subject."""
    several = {subject: ids for subject, ids in found.items() if len(ids) != 1}
    assert several == {}, f"{otherwise}: {several}"


def ids_by_subject(taken: Iterable[Notification]) -> dict[Subject, set[str]]:
    """Return the ids under which each task or skip was notified; check that a repeated notification is the same."""
    ids: defaultdict[Subject, set[str]] = defaultdict(set)
    bodies: dict[str, bytes] = {}
    for webhook_id, body in taken:
        assert bodies.setdefault(webhook_id, body) == body, "a notification was repeated with another body"
        ids[subject_of(json.loads(body))].add(webhook_id)
    return ids


def subject_of(body: dict[str, Any]) -> Subject:
    """Return what a notification is about."""
    data = body["data"]
    if body["type"] == "schedule.skipped":
        return data["schedule"], data["scheduled_for"]
    return data["id"], data["outcome"]
