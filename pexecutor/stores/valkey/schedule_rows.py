"""Schedules as the functions in ``functions/schedules.lua`` get, store and return them.

A definition is JSON there. An occurrence names a task of this queue by its number, because
all ids of a queue have one tag, and a task of another store, which a move has left behind, by its id.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ...task import format_task_id, make_serial, parse_task_id
from ..schedules import (
    Definition,
    DuePlace,
    Fired,
    NextTime,
    Occurrence,
    Owner,
    Schedule,
    ScheduleStep,
    Skipped,
    SkipReason,
)
from .protocol import FIRED, NO_TASK, TooMany
from .wire import Taken, text_of

_encode_definition = msgspec.json.Encoder().encode
_decode_definition = msgspec.json.Decoder(Definition).decode


class NextRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A next time of a schedule."""

    at: float
    due_at: float


class OccurrenceRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One occurrence; ``reason`` is ``FIRED`` unless it was skipped, and ``task`` is ``NO_TASK`` if there is none."""

    at: float
    last_at: float
    reason: str
    count: int
    task: int | str


class StoredSchedule(msgspec.Struct, frozen=True, array_like=True):
    """What the server stores beside the definition, in this order."""

    generation: int
    owner: str
    paused: bool
    next: NextRow | bool
    occurrences: list[OccurrenceRow]


class ScheduleRow(msgspec.Struct, frozen=True, array_like=True):
    """A schedule; ``next`` is false if it has no next time."""

    name: str
    generation: int
    owner: Owner
    paused: bool
    next: NextRow | bool
    occurrences: list[OccurrenceRow]
    definition: msgspec.Raw


class StepRow(msgspec.Struct, frozen=True, array_like=True):
    """A step on a schedule. ``expected`` is false for an occurrence on request."""

    name: str
    generation: int
    expected: NextRow | bool
    at: float
    next: NextRow | bool
    targets: tuple[str, ...]


class PutReply(msgspec.Struct, frozen=True, array_like=True):
    """The generation that the server has given to a stored schedule, and the occurrences that it has kept."""

    generation: int
    occurrences: list[OccurrenceRow]


class FiringReply(msgspec.Struct, frozen=True, array_like=True):
    """The verdict on the task, as ``submit`` answers it, and the recorded occurrence."""

    verdict: int | Taken
    occurrence: OccurrenceRow | bool


class DueReply(msgspec.Struct, frozen=True, array_like=True):
    """Schedules that are due, and the earliest time that is not due; ``NOTHING_DUE`` if there is none."""

    rows: list[ScheduleRow]
    next_due_at: float


RESULTS: Final[dict[str, Any]] = {
    "time": bool,
    "get_schedule": ScheduleRow | bool,
    "page_schedules": list[ScheduleRow],
    "due_schedules": DueReply,
    "put_schedule": PutReply | TooMany | bool,
    "remove_schedule": bool,
    "fire_schedule": FiringReply | bool,
    "skip_schedule": OccurrenceRow | bool,
    "set_schedule_aside": bool,
    "moving_schedules": list[ScheduleRow],
    "arrive_schedules": bool,
    "drop_schedule_arrivals": int,
    "drop_schedules": int,
}
"""The types of the results, by verb."""


def to_schedule_row(schedule: Schedule) -> ScheduleRow:
    """Return the row of a schedule."""
    return ScheduleRow(
        schedule.name,
        schedule.generation,
        schedule.owner,
        schedule.paused,
        _to_next(schedule.next),
        [_to_occurrence(occurrence) for occurrence in schedule.occurrences],
        msgspec.Raw(msgspec.msgpack.encode(_encode_definition(schedule.definition).decode())),
    )


def with_numbers(row: ScheduleRow, tag: int) -> ScheduleRow:
    """Return a row that names the tasks of its occurrences by their numbers, as the server does to compare them."""
    occurrences = [msgspec.structs.replace(one, task=_number(one.task, tag)) for one in row.occurrences]
    return msgspec.structs.replace(row, occurrences=occurrences)


def _number(task: int | str, tag: int) -> int | str:
    serial = parse_task_id(task) if isinstance(task, str) else None
    number = 0 if serial is None else serial - make_serial(tag, 0)
    return number if 0 < number < make_serial(1, 0) else task


def to_step_row(step: ScheduleStep) -> StepRow:
    """Return the row of a step."""
    return StepRow(step.name, step.generation, _to_next(step.expected), step.at, _to_next(step.next), step.targets)


def _to_next(upcoming: NextTime | None) -> NextRow | bool:
    return upcoming is not None and NextRow(upcoming.at, upcoming.due_at)


def _to_occurrence(occurrence: Occurrence) -> OccurrenceRow:
    match occurrence:
        case Fired(at, task_id):
            return OccurrenceRow(at, at, FIRED, 1, task_id)
        case Skipped(at, last_at, reason, count, holder_id):
            return OccurrenceRow(at, last_at, reason, count, NO_TASK if holder_id is None else holder_id)


def to_schedule(row: ScheduleRow, tag: int) -> Schedule:
    """Return the schedule of a row.

    Raises:
        ValueError: a part of the schedule cannot be read.
    """
    try:
        definition = _decode_definition(text_of(row.definition))
    except RecursionError as error:  # JSON that is nested too deeply
        raise ValueError(str(error)) from error
    if definition.every is not None and definition.start_at is None:
        raise ValueError("`every` has no `start_at`")
    return Schedule(
        row.name,
        definition,
        row.generation,
        None if isinstance(row.next, bool) else NextTime(row.next.at, row.next.due_at),
        row.owner,
        row.paused,
        to_occurrences(row.occurrences, tag),
    )


def to_occurrences(rows: list[OccurrenceRow], tag: int) -> tuple[Occurrence, ...]:
    """Return the occurrences of rows."""
    return tuple([to_occurrence(row, tag) for row in rows])


def to_occurrence(row: OccurrenceRow, tag: int) -> Occurrence:
    """Return the occurrence of a row."""
    return Fired(row.at, _task_id(row, tag) or "") if row.reason == FIRED else to_skipped(row, tag)


def to_skipped(row: OccurrenceRow, tag: int) -> Skipped:
    """Return the occurrence of a row that was skipped."""
    reason = msgspec.convert(row.reason, SkipReason)
    return Skipped(row.at, row.last_at, reason, row.count, _task_id(row, tag))


def _task_id(row: OccurrenceRow, tag: int) -> str | None:
    if isinstance(row.task, int):
        return format_task_id(make_serial(tag, row.task))
    return None if row.task == NO_TASK else row.task


def place_arguments(after: DuePlace | None, nothing: float) -> tuple[float, str]:
    """Return a place in the order of ``due``; ``nothing`` stands for the time before all schedules."""
    return (nothing, "") if after is None else (after.due_at, after.name)
