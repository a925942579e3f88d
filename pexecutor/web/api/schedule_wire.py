"""The JSON of schedules: their definitions, next times and occurrences."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ...observe.events import OccurrenceSkipped
from ...stores.schedules import CatchUp, Definition, Fired, NextTime, Occurrence, Owner, Schedule, SkipReason
from .wire import TaskId, Timestamp, timestamp


class OccurrenceView(msgspec.Struct):
    """An occurrence that submitted its task, or consecutive occurrences that were skipped for one reason.

    Parameters:
        at: the time of the occurrence; of several skipped ones, the time of the first.
        task_id: the id of the task that was submitted.
        skipped: why nothing was submitted.
        last_at: the time of the last skipped occurrence.
        count: how many occurrences were skipped.
        holder_id: the id of the task that held the name at the last one, if that is the reason.
    """

    at: Timestamp
    task_id: TaskId | UnsetType = UNSET
    skipped: SkipReason | UnsetType = UNSET
    last_at: Timestamp | UnsetType = UNSET
    count: Annotated[int, Meta(ge=1)] | UnsetType = UNSET
    holder_id: TaskId | UnsetType = UNSET


class ScheduleView(msgspec.Struct, kw_only=True):
    """A schedule. Fields that it does not need are absent.

    Parameters:
        name: the name of the schedule.
        task: the task that each occurrence submits, with the fields that were given or differ from their defaults.
        cron: the times as a cron expression.
        timezone: the time zone of ``cron``.
        every: the time between two occurrences, in ms.
        start_at: the time from which ``every`` counts.
        jitter: each occurrence fires at most this much after its time, in ms.
        until: no occurrence has a later time.
        catch_up: whether the latest of the times that were missed while no server ran is fired afterwards.
        late_max: how late an occurrence may fire, in ms; null for one period, at most an hour.
        paused: whether the times are skipped.
        owner: ``file`` if a settings file declares the schedule, else ``api``.
        next: the next five times.
        occurrences: the last ten occurrences, the latest first.
    """

    name: str
    task: dict[str, Any]
    cron: str | UnsetType = UNSET
    timezone: str | UnsetType = UNSET
    every: int | UnsetType = UNSET
    start_at: Timestamp | UnsetType = UNSET
    jitter: int
    until: Timestamp | UnsetType = UNSET
    catch_up: CatchUp
    late_max: int | None
    paused: bool
    owner: Owner
    next: list[Timestamp]
    occurrences: list[OccurrenceView]


class SkippedView(msgspec.Struct):
    """The event that an occurrence of a schedule was skipped.

    Parameters:
        schedule: the name of the schedule.
        at: the time of the occurrence.
        reason: why the occurrence was skipped.
        holder_id: the id of the task that held the name, if that is the reason.
    """

    schedule: str
    at: Timestamp
    reason: str
    holder_id: TaskId | UnsetType = UNSET


def schedule_view(schedule: Schedule, next_times: list[NextTime]) -> ScheduleView:
    """Return a schedule as it is shown on the wire."""
    definition = schedule.definition
    shown = ScheduleView(
        name=schedule.name,
        task=_task_view(definition),
        jitter=definition.jitter,
        catch_up=definition.catch_up,
        late_max=definition.late_max,
        paused=schedule.paused,
        owner=schedule.owner,
        next=[timestamp(time.at) for time in next_times],
        occurrences=list(map(_occurrence_view, schedule.occurrences)),
    )
    if definition.cron is not None:
        shown.cron, shown.timezone = definition.cron, definition.timezone
    if definition.every is not None:
        shown.every = definition.every
    if definition.start_at is not None:
        shown.start_at = timestamp(definition.start_at.timestamp())
    if definition.until is not None:
        shown.until = timestamp(definition.until.timestamp())
    return shown


def _task_view(definition: Definition) -> dict[str, Any]:
    given = {field: msgspec.to_builtins(getattr(definition.task, field)) for field in definition.given}
    shown: dict[str, Any] = msgspec.to_builtins(definition.task)
    return shown | given


def _occurrence_view(occurrence: Occurrence) -> OccurrenceView:
    if isinstance(occurrence, Fired):
        return OccurrenceView(timestamp(occurrence.at), task_id=occurrence.task_id)
    return OccurrenceView(
        timestamp(occurrence.at),
        skipped=occurrence.reason,
        last_at=timestamp(occurrence.last_at),
        count=occurrence.count,
        holder_id=UNSET if occurrence.holder_id is None else occurrence.holder_id,
    )


def skipped_view(skipped: OccurrenceSkipped) -> SkippedView:
    """Return the event of a skipped occurrence as it is shown on the wire."""
    holder = UNSET if skipped.holder_id is None else skipped.holder_id
    return SkippedView(skipped.schedule, timestamp(skipped.at), skipped.reason, holder)
