"""The JSON of replies: records, verdicts and problem details."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from ...handlers import Context
from ...observe.timeline import Interval, Percentiles
from ...task import (
    TASK_ID_PATTERN,
    Accepted,
    Attempt,
    Draining,
    Duplicate,
    Finished,
    Following,
    Full,
    OnConflict,
    OnCrash,
    Outcome,
    Pending,
    Record,
    Running,
    Scheduled,
    State,
    Task,
    Verdict,
    format_task_id,
)

_encode = msgspec.json.Encoder().encode

EXAMPLE_ID: Final = "a3f09c-42"
EXAMPLE_AT: Final = 1_795_566_401.991
"""A time for examples, in seconds since 1970."""

TaskId = Annotated[str, Meta(pattern=TASK_ID_PATTERN, examples=[EXAMPLE_ID])]
Timestamp = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
"""A time as in RFC 3339, in UTC, to the millisecond."""

VerdictsListed = Literal["all", "refused", "none"]
"""The verdicts that a batch reply lists one by one: all, all but the accepted ones, or none."""


TIMES_REMEMBERED_MAX: Final = 64
"""How many formatted times are cached: tasks that are accepted, started or finished together have one time."""


class Progress(msgspec.Struct):
    """The progress of a running task, as its handler reports it.

    Parameters:
        done: how much is done, in the handler's own unit.
        total: how much there is to do; null if the handler does not know.
    """

    done: float
    total: float | None


class AttemptView(msgspec.Struct):
    """An attempt that has ended.

    Parameters:
        started_at: when the attempt began.
        ended_at: when the attempt ended.
        outcome: how the attempt ended.
        error: why the attempt did not succeed, in one sentence; absent after a success.
    """

    started_at: Timestamp
    ended_at: Timestamp
    outcome: Outcome
    error: str | UnsetType = UNSET


class TaskView(msgspec.Struct, kw_only=True):
    """A task's record, as listings show it. Fields that the task's state does not have are absent.

    Parameters:
        id: the id of the task.
        name: the name of the task; at most one task in flight holds a name.
        state: the state of the task.
        duration: how long the handler ``sleep`` sleeps, in ms.
        handler: the handler that runs the task.
        priority: the priority of the task; tasks of higher priority start first.
        tags: the tags of the task; absent if there are none.
        crashes: how many attempts were cut off by a crash of the server; absent if there are none.
        submitted_at: when the task was accepted.
        due_at: when a scheduled task becomes pending.
        follows: the id of the task that this task follows.
        blocked_by: the pauses and limits that keep a pending task from starting, each as a sentence; absent if there
            are none. ``GET /tasks/{id}/why`` shows all reasons.
        started_at: when the last attempt began.
        finished_at: when the task got its outcome.
        progress: the progress that the handler of a running task reports.
        outcome: how the task ended.
        error: why the task did not succeed, in one sentence.
    """

    id: TaskId
    name: str
    state: State
    duration: int
    handler: str
    priority: int
    tags: tuple[str, ...] | UnsetType = UNSET
    crashes: int | UnsetType = UNSET
    submitted_at: Timestamp
    due_at: Timestamp | UnsetType = UNSET
    follows: TaskId | UnsetType = UNSET
    blocked_by: list[str] | UnsetType = UNSET
    started_at: Timestamp | UnsetType = UNSET
    finished_at: Timestamp | UnsetType = UNSET
    progress: Progress | UnsetType = UNSET
    outcome: Outcome | UnsetType = UNSET
    error: str | UnsetType = UNSET


class TaskDetail(TaskView, kw_only=True):
    """A task's record with all its fields.

    Parameters:
        params: the params for the handler.
        timeout: after how many ms an attempt is cancelled; null for no limit.
        retries: how many times a failed task is retried.
        retry_delay: the longest delay before the first retry, in ms.
        retry_delay_max: the longest delay before any retry, in ms.
        on_conflict: what the submit does if the name is held.
        on_crash: what happens to the task if the server crashes while the task runs.
        keep: how long the record can be read after the end of the task, in ms; null for the server's limit.
        traceparent: the trace that the task belongs to.
        retry_of: the id of the finished task that this task repeats.
        attempts: the attempts that have ended.
        result: what the handler returned; any JSON.
        output: what the last attempt printed, and its exit code or HTTP status.
    """

    params: dict[str, Any]
    timeout: int | None
    retries: int
    retry_delay: int
    retry_delay_max: int
    on_conflict: OnConflict
    on_crash: OnCrash
    keep: int | None
    traceparent: str | UnsetType = UNSET
    retry_of: TaskId | UnsetType = UNSET
    attempts: list[AttemptView]
    result: msgspec.Raw | UnsetType = UNSET
    output: msgspec.Raw | UnsetType = UNSET


class IntervalView(msgspec.Struct):
    """One interval of the timeline.

    Parameters:
        begins_at: when the interval begins.
        started: how many attempts began in the interval.
        finished: how many tasks ended in the interval, by outcome.
        queue_seconds: how long the tasks that started had waited, in seconds; absent if none started.
        run_seconds: how long the attempts that ended had run, in seconds; absent if none ended.
    """

    begins_at: Timestamp
    started: int
    finished: dict[Outcome, int]
    queue_seconds: Percentiles | UnsetType = UNSET
    run_seconds: Percentiles | UnsetType = UNSET


class TaskVerdict(msgspec.Struct):
    """The verdict on one task of a list or a stream.

    Parameters:
        index: the index of the task, from 0.
        name: the name of the task.
        verdict: the verdict on the task.
        id: the id of the task that holds the name.
        state: the state of the task that holds the name.
        since: when the task that holds the name entered its state.
    """

    index: Annotated[int, Meta(ge=0)]
    name: str
    verdict: Literal["accepted", "duplicate", "full", "draining"]
    id: TaskId | UnsetType = UNSET
    state: State | UnsetType = UNSET
    since: Timestamp | UnsetType = UNSET


class BatchReply(msgspec.Struct, rename="pascal"):
    """The reply to a list or a stream of tasks. ``RequestedTask`` is singular by contract.

    Parameters:
        RequestedTask: how many tasks were in the request: the sum of the other three counts.
        SubmittedTasks: how many tasks were accepted.
        DuplicateTasks: how many tasks were refused because their name was held.
        RejectedTasks: how many tasks were refused for lack of room, or because of a drain.
        Tasks: the verdicts on single tasks; the parameter ``verdicts`` selects which.
    """

    requested_task: int = 0
    submitted_tasks: int = 0
    duplicate_tasks: int = 0
    rejected_tasks: int = 0
    tasks: list[TaskVerdict] = []


class Problem(msgspec.Struct, kw_only=True):
    """Problem details (RFC 9457).

    Parameters:
        type: always ``about:blank``; the status says which kind of problem it is.
        title: the phrase of the HTTP status.
        status: the HTTP status.
        detail: what is wrong with this request, and what to do.
    """

    type: Literal["about:blank"] = "about:blank"
    title: str
    status: int
    detail: str


def view(record: Record, context: Context | None = None) -> TaskView:
    """Return a record as listings show it; ``context`` holds the progress of a running task."""
    return TaskView(**_common(record, context))


def detail(record: Record, context: Context | None = None) -> TaskDetail:
    """Return a record with all its fields; ``context`` holds the progress and output of a running task."""
    task = record.task
    shown = TaskDetail(
        **_common(record, context),
        params=task.params,
        timeout=task.timeout,
        retries=task.retries,
        retry_delay=task.retry_delay,
        retry_delay_max=task.retry_delay_max,
        on_conflict=task.on_conflict,
        on_crash=task.on_crash,
        keep=task.keep,
        traceparent=UNSET if task.traceparent is None else task.traceparent,
        retry_of=UNSET if record.rare is None or not record.rare.retry_of else format_task_id(record.rare.retry_of),
        attempts=list(map(_attempt, record.attempts)),
    )
    if isinstance(record, Finished):
        shown.result = UNSET if record.ending.result is None else msgspec.Raw(record.ending.result)
        shown.output = UNSET if record.ending.output is None else msgspec.Raw(record.ending.output)
    elif context is not None and (output := context.snapshot()) is not None:
        shown.output = msgspec.Raw(_encode(output))
    return shown


def _common(record: Record, context: Context | None) -> dict[str, Any]:
    task = record.task
    shown = {
        "id": record.id,
        "name": task.name,
        "state": record.state,
        "duration": task.duration,
        "handler": task.handler,
        "priority": task.priority,
        "submitted_at": timestamp(record.submitted_at),
    }
    if task.tags:
        shown["tags"] = task.tags
    if record.crashes:
        shown["crashes"] = record.crashes
    match record:
        case Pending():
            pass
        case Scheduled():
            shown["due_at"] = timestamp(record.due_at)
        case Following():
            shown["follows"] = format_task_id(record.follows)
        case Running():
            shown["started_at"] = timestamp(record.started_at)
            if context is not None and context.done is not None:
                shown["progress"] = Progress(context.done, context.total)
        case Finished():
            shown |= _ending(record)
    return shown


def _ending(record: Finished) -> dict[str, Any]:
    shown: dict[str, Any] = {"finished_at": timestamp(record.finished_at), "outcome": record.outcome}
    if record.started_at is not None:
        shown["started_at"] = timestamp(record.started_at)
    if record.ending.error is not None:
        shown["error"] = record.ending.error
    return shown


def _attempt(attempt: Attempt) -> AttemptView:
    error = UNSET if attempt.error is None else attempt.error
    return AttemptView(timestamp(attempt.started_at), timestamp(attempt.ended_at), attempt.outcome, error)


def interval_view(interval: Interval) -> IntervalView:
    """Return an interval of the timeline as it is shown on the wire."""
    return IntervalView(
        timestamp(interval.begins_at),
        interval.started,
        interval.finished,
        UNSET if interval.queue is None else interval.queue,
        UNSET if interval.run is None else interval.run,
    )


@lru_cache(TIMES_REMEMBERED_MAX)
def timestamp(seconds: float) -> str:
    """Return a time as in RFC 3339, in UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def add_verdicts(
    reply: BatchReply,
    tasks: Sequence[Task],
    verdicts: Sequence[Verdict],
    listed: VerdictsListed,
    *,
    listed_max: float = math.inf,
) -> None:
    """Add verdicts to the counts of a reply, and list the selected ones; the first has the index ``requested_task``."""
    kinds = list(map(type, verdicts))
    accepted = kinds.count(Accepted)
    if listed == "all" or (listed == "refused" and accepted < len(verdicts)):
        for index, (task, verdict) in enumerate(zip(tasks, verdicts, strict=True), reply.requested_task):
            wanted = listed == "all" or not isinstance(verdict, Accepted)
            if wanted and len(reply.tasks) < listed_max:
                reply.tasks.append(_task_verdict(index, task.name, verdict))
    reply.requested_task += len(verdicts)
    reply.submitted_tasks += accepted
    if accepted < len(verdicts):
        reply.duplicate_tasks += kinds.count(Duplicate)
        reply.rejected_tasks += kinds.count(Full) + kinds.count(Draining)


def counts(reply: BatchReply) -> dict[str, int]:
    """Return the counts of a batch, for the log."""
    return {
        "requested": reply.requested_task,
        "accepted": reply.submitted_tasks,
        "duplicates": reply.duplicate_tasks,
        "rejected": reply.rejected_tasks,
    }


def _task_verdict(index: int, name: str, verdict: Verdict) -> TaskVerdict:
    match verdict:
        case Accepted(record) | Duplicate(record):
            return TaskVerdict(index, name, verdict.verdict, record.id, record.state, timestamp(record.since))
        case Full() | Draining():
            return TaskVerdict(index, name, verdict.verdict)
