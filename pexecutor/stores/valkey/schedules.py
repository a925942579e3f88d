"""``ValkeySchedules``: the schedules of a queue on a server. The functions in ``functions/schedules.lua`` decide.

A node finds an unreadable definition only when it reads one. Then it has the server set the schedule aside, and reads
again, so that a listing never ends at a damaged schedule.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import trio

from ...errors import UnknownScheduleError
from ...observe.histogram import Histogram
from ...task import Task
from ..schedules import (
    DuePlace,
    DueSchedules,
    Firing,
    Schedule,
    ScheduleBounds,
    ScheduleStep,
    Skipped,
    SkipReason,
    too_many_bytes,
    too_many_schedules,
)
from .calls import Calls, Link
from .protocol import NOTHING_DUE, TooMany
from .replies import verdicts_of
from .schedule_rows import (
    DueReply,
    FiringReply,
    OccurrenceRow,
    PutReply,
    ScheduleRow,
    place_arguments,
    to_occurrence,
    to_occurrences,
    to_schedule,
    to_schedule_row,
    to_skipped,
    to_step_row,
    with_numbers,
)
from .wire import KeepSeconds, to_arguments


class ValkeySchedules:
    """The schedules of a queue (see ``pexecutor.stores.schedules``).

    Parameters:
        bounds: how many schedules may be stored.
        calls: the node's calls to its queue.
        link: the connection, which waits until all replies so far are as durable as requested.
        queue_size: how many tasks may wait.
        keep_seconds_max: how long finished tasks can be read.
        commits: measures how long occurrences took to become durable.
    """

    def __init__(
        self,
        bounds: ScheduleBounds,
        calls: Calls,
        link: Link,
        queue_size: int,
        keep_seconds_max: KeepSeconds,
        commits: Histogram,
    ) -> None:
        self._bounds = bounds
        self._calls = calls
        self._link = link
        self._queue_size = queue_size
        self._keep_seconds_max = keep_seconds_max
        self._commits = commits

    # Read

    async def now(self) -> float:
        """Return the time by the server's clock, in seconds since 1970."""
        reply = await self._calls.ask("time")
        self._calls.report_all(reply.changes, {})
        return reply.at

    async def get(self, name: str) -> Schedule:
        """Return the schedule with this name."""
        row: ScheduleRow | bool = await self._calls.call("get_schedule", name)
        found = None if isinstance(row, bool) else await self._read([row])
        if not found:
            raise UnknownScheduleError(name)
        return found[0]

    async def page(self, limit: int, after: str | None = None) -> list[Schedule]:
        """Return the first schedules by name, after a name."""
        while True:
            rows: list[ScheduleRow] = await self._calls.call("page_schedules", limit, after or "")
            if (schedules := await self._read(rows)) is not None:
                return schedules

    async def due(self, limit: int, after: DuePlace | None = None) -> DueSchedules:
        """Return the schedules that are due, the longest due first, after a place."""
        while True:
            reply = await self._calls.ask("due_schedules", limit, *place_arguments(after, NOTHING_DUE))
            self._calls.report_all(reply.changes, {})
            due: DueReply = reply.result
            if (schedules := await self._read(due.rows)) is not None:
                return DueSchedules(reply.at, schedules, None if due.next_due_at == NOTHING_DUE else due.next_due_at)

    async def _read(self, rows: Sequence[ScheduleRow]) -> list[Schedule] | None:
        """Return the schedules of rows. If some cannot be read, set them aside and return ``None``."""
        schedules: list[Schedule] = []
        for row in rows:
            try:
                schedules.append(to_schedule(row, self._calls.tag))
            except ValueError as error:
                await self._calls.call("set_schedule_aside", row.name, row.generation, str(error))
        return schedules if len(schedules) == len(rows) else None

    # Change

    async def put(self, schedule: Schedule) -> Schedule | None:
        """Store a schedule in the place of the generation that it names; return it with its new generation."""
        row = with_numbers(to_schedule_row(schedule), self._calls.tag)
        reply: PutReply | TooMany | bool = await self._calls.call(
            "put_schedule", self._calls.new_id(), row, *self._bounds
        )
        match reply:
            case PutReply(generation, occurrences):
                kept = to_occurrences(occurrences, self._calls.tag)
                await self._report()
                return msgspec.structs.replace(schedule, generation=generation, occurrences=kept)
            case TooMany.SCHEDULES:
                raise too_many_schedules(self._bounds)
            case TooMany.BYTES:
                raise too_many_bytes(self._bounds)
            case _:
                return None

    async def remove(self, name: str, generation: int) -> bool:
        """Remove a schedule of this generation; return whether it was removed."""
        removed: bool = await self._calls.call("remove_schedule", self._calls.new_id(), name, generation)
        if removed:
            await self._report()
        return removed

    async def fire(self, step: ScheduleStep, task: Task) -> Firing | None:
        """Submit the task of an occurrence, record the occurrence and set the next time."""
        asked_at = trio.current_time()
        facts = self._calls.rare_facts([task])
        arguments = to_arguments(task, self._keep_seconds_max, *facts)
        reply = await self._calls.ask(
            "fire_schedule", self._calls.new_id(), to_step_row(step), arguments, self._queue_size
        )
        firing: FiringReply | bool = reply.result
        if isinstance(firing, bool):
            self._calls.report_all(reply.changes, {})
            return None
        submitted = msgspec.structs.replace(reply, result=[firing.verdict])
        [verdict], taken = verdicts_of([task], facts, submitted, self._calls.tag, self._calls.read)
        self._calls.report_all(reply.changes, taken)
        if isinstance(firing.occurrence, bool):
            return Firing(verdict, None)
        await self._report()
        self._commits.observe(trio.current_time() - asked_at)
        return Firing(verdict, to_occurrence(firing.occurrence, self._calls.tag))

    async def skip(self, step: ScheduleStep, reason: SkipReason) -> Skipped | None:
        """Record that times are skipped, and set the next time."""
        row: OccurrenceRow | bool = await self._calls.call(
            "skip_schedule", self._calls.new_id(), to_step_row(step), reason
        )
        if isinstance(row, bool):
            return None
        await self._report()
        return to_skipped(row, self._calls.tag)

    async def _report(self) -> None:
        """Report that a schedule was changed, and wait until the change is durable."""
        self._calls.watcher.schedules_changed()
        await self._link.flush()
