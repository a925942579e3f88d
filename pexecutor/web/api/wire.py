"""What goes out: records, verdicts and problems as JSON."""

from __future__ import annotations

import math
from collections import Counter
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

TaskId = Annotated[str, Meta(pattern=TASK_ID_PATTERN, examples=[EXAMPLE_ID])]
Timestamp = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
"""RFC 3339, in UTC, to the millisecond."""

VerdictsListed = Literal["all", "refused", "none"]
"""Which verdicts a batch reply lists one by one: each, those that were not accepted, or none."""


TIMES_REMEMBERED_MAX: Final = 64
"""How many times are written out once only: what is taken, started or ended together has one time."""


class Progress(msgspec.Struct):
    """How far a running task says that it is.

    Parameters:
        done: how much of it is done, in the handler's own unit.
        total: how much there is; null when the handler does not know.
    """

    done: float
    total: float | None


class AttemptView(msgspec.Struct):
    """One run that has ended.

    Parameters:
        started_at: when it began.
        ended_at: when it ended.
        outcome: how it ended.
        error: one sentence on why, for anything but a success.
    """

    started_at: Timestamp
    ended_at: Timestamp
    outcome: Outcome
    error: str | UnsetType = UNSET


class TaskView(msgspec.Struct, kw_only=True):
    """A record on the wire, as listings show it. What is not known in a state is absent.

    Parameters:
        id: what to ask for it by.
        name: what dedup goes by.
        state: where it stands.
        duration: how long ``sleep`` works, in ms.
        handler: what runs it.
        priority: the higher starts first.
        crashes: how many of its starts a crash of the server has cut off; absent when there are none.
        submitted_at: when it was accepted.
        due_at: until when a scheduled one waits.
        follows: the id of the task that it follows.
        started_at: when its last attempt began.
        finished_at: when it got its outcome.
        progress: what a running one tells of itself.
        outcome: how it ended.
        error: one sentence on why it did not succeed.
    """

    id: TaskId
    name: str
    state: State
    duration: int
    handler: str
    priority: int
    crashes: int | UnsetType = UNSET
    submitted_at: Timestamp
    due_at: Timestamp | UnsetType = UNSET
    follows: TaskId | UnsetType = UNSET
    started_at: Timestamp | UnsetType = UNSET
    finished_at: Timestamp | UnsetType = UNSET
    progress: Progress | UnsetType = UNSET
    outcome: Outcome | UnsetType = UNSET
    error: str | UnsetType = UNSET


class TaskDetail(TaskView, kw_only=True):
    """A record on the wire, whole.

    Parameters:
        params: what its handler is told.
        timeout: after so many ms an attempt is cancelled.
        retries: how often it is tried again.
        retry_delay: the most ms that the first retry waits.
        retry_delay_max: the most ms that any retry waits.
        on_conflict: what its submit did when the name was held.
        on_crash: what becomes of it if the process dies while it runs.
        keep: how many ms its record can be read after its end.
        traceparent: which trace it belongs to.
        attempts: the runs that have ended.
        result: what the handler returned; any JSON.
        output: what the last attempt printed and the like.
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
    attempts: list[AttemptView]
    result: msgspec.Raw | UnsetType = UNSET
    output: msgspec.Raw | UnsetType = UNSET


class IntervalView(msgspec.Struct):
    """One interval of the timeline; durations are seconds, and absent when there was none.

    Parameters:
        begins_at: when it begins.
        started: how many attempts began in it.
        finished: how many tasks ended in it, by outcome.
        queue_seconds: how long those that started had waited.
        run_seconds: how long those attempts that ended had run.
    """

    begins_at: Timestamp
    started: int
    finished: dict[Outcome, int]
    queue_seconds: Percentiles | UnsetType = UNSET
    run_seconds: Percentiles | UnsetType = UNSET


class TaskVerdict(msgspec.Struct):
    """What became of one task of a list; ``id``, ``state`` and ``since`` are those of the task that has the name.

    Parameters:
        index: its place in the list, from 0.
        name: its name.
        verdict: what became of it.
        id: of the task that has the name.
        state: where that one stands.
        since: from when on it has been there.
    """

    index: Annotated[int, Meta(ge=0)]
    name: str
    verdict: Literal["accepted", "duplicate", "full", "draining"]
    id: TaskId | UnsetType = UNSET
    state: State | UnsetType = UNSET
    since: Timestamp | UnsetType = UNSET


class BatchReply(msgspec.Struct, rename="pascal"):
    """The reply to a list of tasks. ``RequestedTask`` is singular on the wire: that is the contract.

    Parameters:
        RequestedTask: how many tasks there were: the sum of the other three.
        SubmittedTasks: how many were accepted.
        DuplicateTasks: how many were refused because their name was held.
        RejectedTasks: how many were refused for lack of room, or because of a drain.
        Tasks: what became of single tasks, as ``verdicts`` asked.
    """

    requested_task: int = 0
    submitted_tasks: int = 0
    duplicate_tasks: int = 0
    rejected_tasks: int = 0
    tasks: list[TaskVerdict] = []


class Problem(msgspec.Struct, kw_only=True):
    """Problem details (RFC 9457).

    Parameters:
        type: always the same, so the status says what kind it is.
        title: the status in words.
        status: the status.
        detail: what is wrong with this request, and what to do.
    """

    type: Literal["about:blank"] = "about:blank"
    title: str
    status: int
    detail: str


def view(record: Record, context: Context | None = None) -> TaskView:
    """A record as listings show it; ``context`` is what a running one tells of itself."""
    return TaskView(**_common(record, context))


def detail(record: Record, context: Context | None = None) -> TaskDetail:
    """A record with everything that is known of it."""
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
    """An interval on the wire."""
    return IntervalView(
        timestamp(interval.begins_at),
        interval.started,
        interval.finished,
        UNSET if interval.queue is None else interval.queue,
        UNSET if interval.run is None else interval.run,
    )


@lru_cache(TIMES_REMEMBERED_MAX)
def timestamp(seconds: float) -> str:
    """RFC 3339, in UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def add_verdicts(
    reply: BatchReply,
    tasks: Sequence[Task],
    verdicts: Sequence[Verdict],
    listed: VerdictsListed,
    *,
    listed_max: float = math.inf,
) -> None:
    """Count verdicts into a reply, and list those that are wanted; the first has the index ``requested_task``."""
    kinds = Counter(map(type, verdicts))
    if listed == "all" or (listed == "refused" and kinds[Accepted] < len(verdicts)):
        for index, (task, verdict) in enumerate(zip(tasks, verdicts, strict=True), reply.requested_task):
            wanted = listed == "all" or not isinstance(verdict, Accepted)
            if wanted and len(reply.tasks) < listed_max:
                reply.tasks.append(_task_verdict(index, task.name, verdict))
    reply.requested_task += len(verdicts)
    reply.submitted_tasks += kinds[Accepted]
    reply.duplicate_tasks += kinds[Duplicate]
    reply.rejected_tasks += kinds[Full] + kinds[Draining]


def counts(reply: BatchReply) -> dict[str, int]:
    """How a batch has come out, for the log."""
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
