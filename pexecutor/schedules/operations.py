"""``Schedules``: the operations on schedules for callers of an executor.

Each operation checks what the caller gave, and ``changes.py`` and the clock do the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

import msgspec

from ..errors import InvalidScheduleError
from ..stores.schedules import Owner, Schedule
from ..task import Task, Verdict
from .changes import Declared, declare, pause, remove
from .clock import ScheduleClock
from .declaration import Fault, ScheduleDeclaration, check_declaration, check_schedule_name, explicit


class SubmittedNow(NamedTuple):
    """The result of an occurrence on request: the task, unless the executor is draining, and the verdict on it."""

    task: Task | None
    verdict: Verdict


class Schedules:
    """The schedules of an executor.

    Parameters:
        clock: the firing loop of the executor.
        fault: returns why a handler would refuse a task, or ``None``.
        removed: called with the name of each schedule that was removed.
    """

    def __init__(self, clock: ScheduleClock, *, fault: Fault, removed: Callable[[str], None]) -> None:
        self._clock = clock
        self._fault = fault
        self._removed = removed

    async def get(self, name: str) -> Schedule:
        """Return a schedule. Raises ``UnknownScheduleError``."""
        return await self._clock.schedules.get(name)

    async def page(self, limit: int, after: str | None = None) -> list[Schedule]:
        """Return the first schedules by name, after a name."""
        return await self._clock.schedules.page(limit, after)

    async def put(
        self, name: str, declaration: ScheduleDeclaration, *, owner: Owner = "api", given: Collection[str] = ()
    ) -> Declared:
        """Store a schedule, in the place of an earlier one. A declaration equal to the stored one changes nothing.

        Parameters:
            name: the name of the schedule.
            declaration: what it does, and when.
            owner: who declares it; what a settings file has declared cannot be replaced through the API.
            given: the fields of the task that were declared, so that they take no default of the handler, even with
                the value that they have without a declaration.

        Raises:
            InvalidScheduleError: the name, the times or the task are invalid; the error names the field.
            OwnedScheduleError: a settings file has declared the schedule, and the owner is the API.
            TooManySchedulesError: the store keeps no more schedules.
            StoreUnavailableError: the store could not make the schedule durable.
        """
        check_schedule_name(name)
        check_declaration(declaration, await self._clock.schedules.now(), self._fault)
        paused = None if declaration.paused is msgspec.UNSET else declaration.paused
        definition = msgspec.structs.replace(declaration.definition, given=explicit(declaration.task, given))
        return await declare(self._clock.schedules, name, definition, owner=owner, paused=paused)

    async def pause(self, name: str, *, paused: bool) -> Schedule:
        """Pause or resume a schedule, and return it.

        Raises:
            UnknownScheduleError: there is no such schedule.
            StoreUnavailableError: the store could not make the change durable.
        """
        return await pause(self._clock.schedules, name, paused)

    async def remove(self, name: str, *, force: bool = False) -> None:
        """Remove a schedule; its tasks stay.

        Parameters:
            name: the name of the schedule.
            force: remove it even if a settings file has declared it.

        Raises:
            UnknownScheduleError: there is no such schedule.
            OwnedScheduleError: a settings file has declared the schedule, and ``force`` is not set.
            StoreUnavailableError: the store could not make the change durable.
        """
        await remove(self._clock.schedules, name, owner="file" if force else "api")
        self._removed(name)

    async def run_now(self, name: str, *, traceparent: str | None = None) -> SubmittedNow:
        """Submit one occurrence at once, also of a paused schedule. The next times stay as they are.

        Parameters:
            name: the name of the schedule.
            traceparent: the trace of the task, unless the schedule gives one.

        Raises:
            UnknownScheduleError: there is no such schedule.
            InvalidScheduleError: the task's handler is unknown or refuses the task.
            StoreUnavailableError: the store could not make the task durable; no task was accepted.
        """

        prepared: list[Task] = []

        def prepare(task: Task) -> Task:
            if (found := self._fault(task)) is not None:
                raise InvalidScheduleError(f"task.{found[0]}", found[1])
            if traceparent is not None and task.traceparent is None:
                task = msgspec.structs.replace(task, traceparent=traceparent)
            prepared.append(task)
            return task

        firing = await self._clock.fire_now(name, prepare)
        return SubmittedNow(prepared[-1] if prepared else None, firing.verdict)
