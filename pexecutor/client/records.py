"""What the Python client returns: the objects of the API as immutable values.

Members that this version does not know are ignored, so that a newer server can be used. Spans are in milliseconds, as
in the HTTP API, and times are aware ``datetime`` objects.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

from ..limits.defaults import RETRY_DELAY_MS, RETRY_DELAY_MS_MAX
from ..task import Outcome, State


class ProgressRecord(msgspec.Struct, frozen=True):
    """The progress of a running task, in the unit of its handler.

    Parameters:
        done: how much is done.
        total: how much there is to do; ``None`` if the handler does not know.
    """

    done: float
    total: float | None = None


class AttemptRecord(msgspec.Struct, frozen=True):
    """An attempt that has ended.

    Parameters:
        started_at: when the attempt began.
        ended_at: when it ended.
        outcome: how it ended.
        error: why it did not succeed, in one sentence; ``None`` after a success.
    """

    started_at: datetime
    ended_at: datetime
    outcome: Outcome
    error: str | None = None


class TaskOutput(msgspec.Struct, frozen=True):
    """The ends of what the last attempt printed. ``Handle.logs`` reads the whole output.

    Parameters:
        stdout, stderr: the ends of both streams of a command.
        log: the end of the lines that a function logged.
        body: the end of the body of the reply to an HTTP call.
        exit_code: the exit code of a command.
        status: the status of the reply to an HTTP call.
        log_node: the node that keeps the whole output, on a shared store.
    """

    stdout: str = ""
    stderr: str = ""
    log: str = ""
    body: str = ""
    exit_code: int | None = None
    status: int | None = None
    log_node: str | None = None


class TaskRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The record of a task. Listings and events leave out the members from ``params`` on.

    Parameters:
        id: the id of the task.
        name: its name, which at most one task in flight holds.
        state: its state.
        handler: the handler that runs it.
        submitted_at: when it was accepted.
        duration: how long the handler ``sleep`` works, in ms.
        priority: its priority.
        tags: its tags.
        crashes: how many of its starts a crash of the server cut off.
        due_at: when a scheduled task becomes pending.
        follows: the id of the task that it follows.
        blocked_by: the pauses and limits that hold a pending task back, each as a sentence.
        started_at: when the last attempt began.
        finished_at: when it got its outcome.
        progress: the progress of a running task.
        outcome: how it ended; ``None`` while it is in flight.
        error: why it did not succeed, in one sentence.
        params: the params for the handler.
        timeout, keep: spans in ms, or ``None``.
        retries: how many times it is tried again.
        retry_delay, retry_delay_max: spans in ms.
        on_conflict, on_crash: see the fields of a task.
        traceparent: the trace that it belongs to.
        retry_of: the id of the finished task that it repeats.
        attempts: the attempts that have ended.
        result: what the handler returned; any JSON.
        output: the end of what the last attempt printed; ``None`` if it printed nothing.
    """

    id: str
    name: str
    state: State
    handler: str
    submitted_at: datetime
    duration: int = 0
    priority: int = 0
    tags: tuple[str, ...] = ()
    crashes: int = 0
    due_at: datetime | None = None
    follows: str | None = None
    blocked_by: tuple[str, ...] = ()
    started_at: datetime | None = None
    finished_at: datetime | None = None
    progress: ProgressRecord | None = None
    outcome: Outcome | None = None
    error: str | None = None
    params: dict[str, Any] = {}
    timeout: int | None = None
    retries: int = 0
    retry_delay: int = RETRY_DELAY_MS
    retry_delay_max: int = RETRY_DELAY_MS_MAX
    on_conflict: str = "reject"
    on_crash: str = "rerun"
    keep: int | None = None
    traceparent: str | None = None
    retry_of: str | None = None
    attempts: tuple[AttemptRecord, ...] = ()
    result: Any = None
    output: TaskOutput | None = None

    @property
    def is_finished(self) -> bool:
        """Whether the task has its outcome."""
        return self.state is State.FINISHED


class SubmitVerdict(msgspec.Struct, frozen=True):
    """The verdict on one of many submitted tasks.

    Parameters:
        index: the index of the task among all tasks of the call, from 0.
        name: its name.
        verdict: ``accepted``, ``duplicate`` (its name is held), ``full`` (no room) or ``draining``.
        id: the id of the accepted task, or of the task that holds the name.
        state: the state of that task.
        since: when that task entered its state.
    """

    index: int
    name: str
    verdict: Literal["accepted", "duplicate", "full", "draining"]
    id: str | None = None
    state: State | None = None
    since: datetime | None = None


class BatchCounts(msgspec.Struct, frozen=True, rename="pascal"):
    """The reply to a list of tasks.

    Parameters:
        requested_task, submitted_tasks, duplicate_tasks, rejected_tasks: the counts.
        tasks: the verdicts.
    """

    requested_task: int
    submitted_tasks: int
    duplicate_tasks: int
    rejected_tasks: int
    tasks: tuple[SubmitVerdict, ...] = ()


class SubmittedTasks(msgspec.Struct, frozen=True):
    """The verdicts on the tasks of ``submit_many``, in the order of the tasks.

    Parameters:
        verdicts: one verdict for each task.
    """

    verdicts: tuple[SubmitVerdict, ...]

    @property
    def accepted(self) -> tuple[SubmitVerdict, ...]:
        """The tasks that were accepted."""
        return self._of("accepted")

    @property
    def duplicates(self) -> tuple[SubmitVerdict, ...]:
        """The tasks whose names are held by other tasks."""
        return self._of("duplicate")

    @property
    def rejected(self) -> tuple[SubmitVerdict, ...]:
        """The tasks that found no room or a draining server: submit them again later."""
        return self._of("full", "draining")

    def _of(self, *kinds: str) -> tuple[SubmitVerdict, ...]:
        return tuple(verdict for verdict in self.verdicts if verdict.verdict in kinds)


class BulkCounts(msgspec.Struct, frozen=True):
    """The result of cancelling, retrying or changing many tasks.

    Parameters:
        matched: how many tasks matched.
        changed: how many of them were changed; with ``dry_run``, none.
        unchanged: how many were left as they were, because they had just started or ended, or their name is held.
        more: whether further tasks match.
        ids: the ids of the first 1000 tasks that matched.
        stopped: why a retry ended early: ``full`` or ``draining``.
        unknown: how many of the given ids belong to no task whose record is kept.
    """

    matched: int
    changed: int
    unchanged: int
    more: bool
    ids: tuple[str, ...] = ()
    stopped: str | None = None
    unknown: int = 0


class PauseRecord(msgspec.Struct, frozen=True):
    """A pause.

    Parameters:
        what: ``everything``, or ``handler``.
        handler: the paused handler.
        since: when the pause began.
        by: the name of the token that asked for it.
    """

    what: str
    handler: str | None = None
    since: datetime | None = None
    by: str | None = None


class PausesReply(msgspec.Struct, frozen=True):
    """The reply to a pause or its end.

    Parameters:
        pauses: all pauses that are left.
    """

    pauses: tuple[PauseRecord, ...]


class LimitRecord(msgspec.Struct, frozen=True):
    """A limit, and the slots that running tasks use of it.

    Parameters:
        which: the table of the settings that declares it.
        concurrency: how many tasks may run at the same time.
        slots_in_use: how many running tasks it counts.
        keys_full: for how many values no slot is free.
    """

    which: str
    concurrency: int
    slots_in_use: int
    keys_full: int = 0


class HandlerRecord(msgspec.Struct, frozen=True):
    """A handler of the server.

    Parameters:
        name: its name.
        description: what it does, in one line.
        params: the JSON Schema of its params.
        defaults: the values of fields that a submit does not contain.
        limits: the limits that apply to its tasks.
        pauses: the pauses that hold its tasks back.
        outcomes: how many of its tasks have ended, by outcome.
        run_seconds: how long its attempts ran on this server: ``p50`` and ``p95``.
    """

    name: str
    description: str
    params: dict[str, Any]
    defaults: dict[str, Any] = {}
    limits: tuple[LimitRecord, ...] = ()
    pauses: tuple[PauseRecord, ...] = ()
    outcomes: dict[str, int] = {}
    run_seconds: dict[str, float] = {}
