"""``ScheduleDeclaration``: a schedule as a client or a settings file declares it, and the checks of a new one."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from ..errors import InvalidScheduleError
from ..stores.schedules import Definition, DefinitionFields
from ..task import Task, check_name
from .params import task_at

Fault = Callable[[Task], tuple[str, str] | None]
"""Returns why a handler would refuse a task: the field and a sentence, or ``None``."""

START_YEAR_MAX: Final = 9000
"""The last year in which a schedule may start: the times after it must be years that RFC 3339 can write."""


class ScheduleDeclaration(DefinitionFields, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A schedule: the task that it submits, and when. Durations are whole milliseconds.

    Parameters:
        task: the task that each occurrence submits. In its ``params``, each string ``{scheduled_for}`` becomes the time
            of the occurrence.
        cron: the times as a cron expression of five fields.
        timezone: the time zone of ``cron``, as in ``Europe/Berlin``.
        every: the time between two occurrences, instead of ``cron``; 1000 to 366 days.
        start_at: the first occurrence of ``every``; by default one period after the schedule was first stored.
        jitter: each occurrence fires at most this much after its time.
        until: no occurrence has a later time.
        catch_up: whether the latest of the times that were missed while no server ran is fired afterwards.
        late_max: how late an occurrence may fire; by default one period, at most an hour.
        paused: whether the times are skipped; without it, a schedule that exists stays paused or not.
    """

    paused: bool | UnsetType = UNSET

    @property
    def definition(self) -> Definition:
        """Return the part that the store keeps as the definition."""
        return Definition(**{field: getattr(self, field) for field in DefinitionFields.__struct_fields__})


def explicit(task: Task, given: Collection[str]) -> tuple[str, ...]:
    """Return the fields of a task that were given with the value that they have anyway, which the task hides."""
    return tuple(
        field.name
        for field in msgspec.structs.fields(Task)
        if field.name in given and getattr(task, field.name) == field.default
    )


def check_schedule_name(name: str) -> None:
    """Raise ``InvalidScheduleError`` if a schedule cannot have this name: it is one segment of a path."""
    try:
        check_name(name)
    except ValueError as error:
        raise InvalidScheduleError("name", str(error)) from error
    if not name or "/" in name or name in (".", ".."):
        raise InvalidScheduleError(
            "name", 'the `name` of a schedule must not be empty, `.` or `..`, or contain "/": for example "nightly"'
        )


def check_declaration(declaration: DefinitionFields, now: float, fault: Fault) -> None:
    """Raise ``InvalidScheduleError`` if a submit would refuse the task of a schedule, or its start is out of range.

    Parameters:
        declaration: the schedule.
        now: the time that is filled into the params, in seconds since 1970.
        fault: returns why a handler would refuse a task, or ``None``.
    """
    if declaration.start_at is not None and declaration.start_at.year > START_YEAR_MAX:
        raise InvalidScheduleError("start_at", f"`start_at` must be at most in the year {START_YEAR_MAX}")
    _check_task(declaration, now, fault)


def _check_task(definition: DefinitionFields, now: float, fault: Fault) -> None:
    if definition.task.run_at is not None:
        raise InvalidScheduleError(
            "task.run_at", "`task.run_at`: the schedule has the times; remove it, or give `task.delay` instead"
        )
    try:
        task = task_at(definition, now)
    except ValueError as error:
        raise InvalidScheduleError(
            "task.params", f"`task.params`: with `{{scheduled_for}}` filled in, {error}"
        ) from error
    if (found := fault(task)) is not None:
        field, sentence = found
        raise InvalidScheduleError(f"task.{field}", sentence)
