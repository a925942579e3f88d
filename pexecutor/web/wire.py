"""What goes out: records, verdicts and problems as JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType
from quart import Response

from ..task import Accepted, Draining, Duplicate, Finished, Full, Outcome, Record, Running, State, Task, Verdict

_encode = msgspec.json.Encoder().encode

VerdictsListed = Literal["all", "refused", "none"]
"""Which verdicts a batch reply lists one by one: each, those that were not accepted, or none."""


class TaskView(msgspec.Struct):
    """A record on the wire. What is not known in a state is absent."""

    id: str
    name: str
    state: State
    duration: int
    priority: int
    submitted_at: str
    timeout: int | UnsetType = UNSET
    started_at: str | UnsetType = UNSET
    finished_at: str | UnsetType = UNSET
    outcome: Outcome | UnsetType = UNSET
    error: str | UnsetType = UNSET


class TaskVerdict(msgspec.Struct):
    """What became of one task of a batch; ``id``, ``state`` and ``since`` are those of the task that has the name."""

    index: Annotated[int, Meta(ge=0)]
    name: str
    verdict: Literal["accepted", "duplicate", "full", "draining"]
    id: str | UnsetType = UNSET
    state: State | UnsetType = UNSET
    since: str | UnsetType = UNSET


class BatchReply(msgspec.Struct, rename="pascal"):
    """The reply to a list of tasks. ``RequestedTask`` is singular on the wire: that is the contract."""

    requested_task: int = 0
    submitted_tasks: int = 0
    duplicate_tasks: int = 0
    rejected_tasks: int = 0
    tasks: list[TaskVerdict] = []


def view(record: Record) -> TaskView:
    """A record as it goes out."""
    task = record.task
    shown = TaskView(
        id=record.id,
        name=task.name,
        state=record.state,
        duration=task.duration,
        priority=task.priority,
        submitted_at=timestamp(record.submitted_at),
    )
    if task.timeout is not None:
        shown.timeout = task.timeout
    if isinstance(record, Running | Finished) and record.started_at is not None:
        shown.started_at = timestamp(record.started_at)
    if isinstance(record, Finished):
        shown.finished_at = timestamp(record.finished_at)
        shown.outcome = record.outcome
        shown.error = UNSET if record.error is None else record.error
    return shown


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
    for index, (task, verdict) in enumerate(zip(tasks, verdicts, strict=True), reply.requested_task):
        match verdict:
            case Accepted():
                reply.submitted_tasks += 1
            case Duplicate():
                reply.duplicate_tasks += 1
            case Full() | Draining():
                reply.rejected_tasks += 1
        wanted = listed == "all" or (listed == "refused" and not isinstance(verdict, Accepted))
        if wanted and len(reply.tasks) < listed_max:
            reply.tasks.append(_task_verdict(index, task.name, verdict))
    reply.requested_task += len(tasks)


def _task_verdict(index: int, name: str, verdict: Verdict) -> TaskVerdict:
    match verdict:
        case Accepted(record) | Duplicate(record):
            return TaskVerdict(index, name, verdict.verdict, record.id, record.state, timestamp(record.since))
        case Full() | Draining():
            return TaskVerdict(index, name, verdict.verdict)


def json_response(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON reply."""
    return Response(_encode(content), status, headers, content_type="application/json")


def problem_response(
    status: int,
    detail: str,
    *,
    headers: dict[str, str] | None = None,
    extensions: dict[str, Any] | None = None,
) -> Response:
    """An error reply: RFC 9457 problem details, of type ``about:blank``, so the status says what kind it is.

    Parameters:
        detail: what is wrong with this request, and what to do.
        extensions: further members.
    """
    problem = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return Response(_encode(problem | (extensions or {})), status, headers, content_type="application/problem+json")


def refusal_response(
    verdicts: Sequence[Verdict], retry_after_seconds: Callable[[int], int], extensions: dict[str, Any]
) -> Response:
    """The reply to a submit of which something was refused: 503 when draining, else 429; both say when to come back."""
    refused = sum(isinstance(verdict, Full | Draining) for verdict in verdicts)
    if any(isinstance(verdict, Draining) for verdict in verdicts):
        status, detail = 503, f"the executor is draining; send the {refused} refused tasks to another one"
    else:
        status, detail = 429, f"the queue has no room for {refused} of the tasks; send those again later"
    headers = {"Retry-After": str(retry_after_seconds(refused))}
    return problem_response(status, detail, headers=headers, extensions=extensions)
