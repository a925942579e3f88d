"""The objects that the client returns about schedules, reasons and the server itself; see ``records.py``."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec


class OccurrenceRecord(msgspec.Struct, frozen=True):
    """An occurrence of a schedule, or consecutive ones that were skipped for one reason.

    Parameters:
        at: the time of the first one.
        task_id: the id of the submitted task.
        skipped: why nothing was submitted.
        last_at: the time of the last skipped one.
        count: how many were skipped.
        holder_id: the id of the task that held the name.
    """

    at: datetime
    task_id: str | None = None
    skipped: str | None = None
    last_at: datetime | None = None
    count: int = 1
    holder_id: str | None = None


class ScheduleRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule.

    Parameters:
        name: its name.
        task: the fields of the task that it submits.
        paused: whether its times are skipped.
        owner: ``file`` if a settings file declares it, else ``api``.
        next: its next five times.
        occurrences: its last ten occurrences, the latest first.
        cron, timezone, every, start_at, jitter, until, catch_up, late_max: the definition; spans in ms.
    """

    name: str
    task: dict[str, Any]
    paused: bool
    owner: str
    next: tuple[datetime, ...] = ()
    occurrences: tuple[OccurrenceRecord, ...] = ()
    cron: str | None = None
    timezone: str | None = None
    every: int | None = None
    start_at: datetime | None = None
    jitter: int = 0
    until: datetime | None = None
    catch_up: str = "one"
    late_max: int | None = None


class ReasonRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A reason for which a task does not run.

    Parameters:
        reason: the reason in one word, as the HTTP API has it.
        detail: the reason as a sentence.
        handler, id, until, what, since, by, which, key, concurrency, ids, tasks, estimate: what the reason refers to.
    """

    reason: str
    detail: str
    handler: str | None = None
    id: str | None = None
    until: datetime | None = None
    what: str | None = None
    since: datetime | None = None
    by: str | None = None
    which: str | None = None
    key: str | None = None
    concurrency: int | None = None
    ids: tuple[str, ...] = ()
    tasks: int | None = None
    estimate: bool = False


class StoreNumbers(msgspec.Struct, frozen=True):
    """The numbers of a server's store.

    Parameters:
        queue_size: how many tasks may wait at most.
        pending, scheduled, running: how many tasks are in these states.
        finished: how many tasks have ended, by outcome.
        trouble: why the store cannot be written at present; ``None`` if it can.
    """

    queue_size: int
    pending: int
    scheduled: int
    running: int
    finished: dict[str, int] = {}
    trouble: str | None = None


class ServerStatus(msgspec.Struct, frozen=True):
    """The state of a server.

    Parameters:
        phase: ``serving``, or ``draining`` during its stop.
        pool_size: how many tasks it runs at once.
        finished_per_second: endings per second over the last minute.
        store: the numbers of its store.
    """

    phase: str
    pool_size: int
    finished_per_second: float
    store: StoreNumbers

    @property
    def is_ready(self) -> bool:
        """Whether the server accepts tasks."""
        return self.phase == "serving" and self.store.trouble is None


class StatusReply(msgspec.Struct, frozen=True):
    """The reply of ``/readyz``.

    Parameters:
        statistics: the state of the server; missing for a caller without the scope ``read``.
    """

    statistics: ServerStatus
