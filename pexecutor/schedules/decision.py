"""The decision about a schedule that is due: fire, skip or wait. It is pure, and awaits nothing.

Of several times that have come, the latest one counts: it is fired once for all of them. A time may wait for a handler
or for room in the queue as long as its ``late_max`` allows: by default one period, at most an hour.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final, NamedTuple

import msgspec

from ..stores.schedules import NextTime, Schedule, ScheduleStep, SkipReason
from .times import latest_time, next_time

LATE_SECONDS_MAX: Final = timedelta(hours=1).total_seconds()
"""How late an occurrence may fire by default if its period is longer, in seconds."""

CLOCK_SECONDS_MAX: Final = 60.0
"""By how much a clock may be set back, in seconds, before the next times are computed anew."""


class Fire(NamedTuple):
    """Fire the latest time; if the queue has no room, ``otherwise`` tells what to do."""

    step: ScheduleStep
    otherwise: Skip | WaitUntil


class Skip(NamedTuple):
    """Skip the times of a step for a reason."""

    step: ScheduleStep
    reason: SkipReason


class WaitUntil(NamedTuple):
    """Do nothing before this time, in seconds since 1970, by the store's clock."""

    until: float


Decision = Fire | Skip | WaitUntil


def decide(schedule: Schedule, now: float, *, knows_handler: bool, missed_before: float) -> Decision:
    """Return what to do with a schedule whose next time is due.

    Parameters:
        schedule: the schedule.
        now: the time by the store's clock.
        knows_handler: whether this node can run the task.
        missed_before: times that were due before this one passed while no server ran.

    Raises:
        InvalidScheduleError: its times cannot be computed, as the system does not know the zone.
    """
    upcoming = schedule.next
    assert upcoming is not None, "it is due"
    name, definition = schedule.name, schedule.definition
    latest = latest_time(name, definition, now)
    if latest is None or latest.at < upcoming.at:
        latest = upcoming
    step = _step(schedule, upcoming, latest.at)
    allowed = _late_seconds_max(schedule, upcoming)
    if schedule.paused:
        return Skip(step, "paused")
    if _is_missed(schedule, now, latest, allowed, missed_before):
        return Skip(step, "late")
    is_over = now - upcoming.due_at >= allowed
    if not knows_handler:
        return _give_up(schedule, now, allowed, "no_such_handler") if is_over else WaitUntil(upcoming.due_at + allowed)
    return Fire(step, _give_up(schedule, now, allowed, "full") if is_over else WaitUntil(upcoming.due_at + allowed))


def _is_missed(schedule: Schedule, now: float, latest: NextTime, allowed: float, missed_before: float) -> bool:
    definition, late = schedule.definition, now - latest.due_at
    if definition.late_max is not None and late > allowed:
        return True
    return definition.catch_up == "none" and (late > allowed or latest.due_at < missed_before)


def _late_seconds_max(schedule: Schedule, upcoming: NextTime) -> float:
    if schedule.definition.late_max is not None:
        return schedule.definition.late_max / 1000
    later = next_time(schedule.name, schedule.definition, upcoming.at)
    return LATE_SECONDS_MAX if later is None else min(LATE_SECONDS_MAX, later.at - upcoming.at)


def _give_up(schedule: Schedule, now: float, allowed: float, reason: SkipReason) -> Skip:
    """Skip the times whose allowed wait is over; later times may still wait."""
    upcoming = schedule.next
    assert upcoming is not None, "it is due"
    over = latest_time(schedule.name, schedule.definition, now - allowed)
    return Skip(_step(schedule, upcoming, upcoming.at if over is None else max(over.at, upcoming.at)), reason)


def _step(schedule: Schedule, upcoming: NextTime, at: float) -> ScheduleStep:
    later = next_time(schedule.name, schedule.definition, at)
    return ScheduleStep(schedule.name, schedule.generation, upcoming, at, later)


def after_clock_change(schedule: Schedule, now: float) -> Schedule | None:
    """Return a schedule with a new next time if its own lies further ahead than its period allows, else ``None``.

    That happens if the clock was ahead and was set back. If it was set back by less, the schedule waits instead, so
    that no time is fired twice.

    Raises:
        InvalidScheduleError: its times cannot be computed, as the system does not know the zone.
    """
    name, definition, upcoming = schedule.name, schedule.definition, schedule.next
    if upcoming is None or upcoming.due_at <= now:
        return None
    before = latest_time(name, definition, upcoming.due_at - 0.001)
    if before is None or before.due_at - now <= CLOCK_SECONDS_MAX:
        return None
    return msgspec.structs.replace(schedule, next=next_time(name, definition, now))
