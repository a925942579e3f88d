"""The body of a notification, for each preset.

``webhook`` is the JSON of Standard Webhooks: ``type``, ``timestamp`` and ``data``. ``slack`` is a sentence for people,
in the JSON that Slack's incoming webhooks take, and Mattermost's and many others' as well.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec

from ..stores.deliveries import Delivery, EndNotice, SkipNotice
from ..stores.schedules import SkipReason

Preset = Literal["webhook", "slack"]

SLACK_ERROR_CHARACTERS_MAX: Final = 1000
"""How much of a task's error a message for people shows."""

_ENDED: Final = {
    "succeeded": "succeeded",
    "failed": "failed",
    "timed_out": "timed out",
    "cancelled": "was cancelled",
    "abandoned": "was abandoned",
}

_SKIPPED: Final[dict[SkipReason, str]] = {
    "held": "a task holds its name",
    "full": "the queue was full",
    "late": "it was too late",
    "paused": "the schedule is paused",
    "no_such_handler": "no server has its handler",
}


class EndData(msgspec.Struct, frozen=True, omit_defaults=True):
    """The data of a notification about a task that has ended. Times are as in RFC 3339.

    Parameters:
        id: the id of the task.
        name: the name of the task.
        handler: the handler of the task.
        outcome: the outcome of the task.
        submitted_at: when the task was accepted.
        finished_at: when the task ended.
        seq: the number of the notification; later notifications of a store have higher numbers.
        started_at: when the last attempt began; absent if no attempt began.
        error: why the task did not succeed; absent after a success.
    """

    id: str
    name: str
    handler: str
    outcome: str
    submitted_at: str
    finished_at: str
    seq: int
    started_at: str | None = None
    error: str | None = None


class SkipData(msgspec.Struct, frozen=True, omit_defaults=True):
    """The data of a notification about a skipped occurrence of a schedule. Times are as in RFC 3339.

    Parameters:
        schedule: the name of the schedule.
        name: the name of the task that was not submitted.
        handler: the handler of that task.
        reason: why the occurrence was skipped.
        scheduled_for: the time of the occurrence.
        seq: the number of the notification; later notifications of a store have higher numbers.
        holder: the id of the task that held the name; absent for other reasons than ``held``.
    """

    schedule: str
    name: str
    handler: str
    reason: SkipReason
    scheduled_for: str
    seq: int
    holder: str | None = None


class WebhookBody(msgspec.Struct, frozen=True):
    """The body of a notification with the preset ``webhook``.

    Parameters:
        type: what happened: ``task.`` and an outcome, or ``schedule.skipped``.
        timestamp: when it happened.
        data: the facts.
    """

    type: str
    timestamp: str
    data: EndData | SkipData


def body_of(delivery: Delivery, preset: Preset) -> bytes:
    """Return the body of a delivery. It is the same for every attempt."""
    content: Any = {"text": _slack_text(delivery)} if preset == "slack" else _webhook(delivery)
    return msgspec.json.encode(content)


def _webhook(delivery: Delivery) -> WebhookBody:
    seq, at = _seq(delivery), _time(delivery.made_at)
    match delivery.notice:
        case EndNotice() as ended:
            data = EndData(
                id=ended.task_id,
                name=ended.name,
                handler=ended.handler,
                outcome=ended.outcome,
                submitted_at=_time(ended.submitted_at),
                finished_at=_time(ended.finished_at),
                seq=seq,
                started_at=None if ended.started_at is None else _time(ended.started_at),
                error=ended.error,
            )
            return WebhookBody(f"task.{ended.outcome}", at, data)
        case SkipNotice() as skip:
            scheduled_for = _time(skip.at)
            facts = SkipData(
                skip.schedule, skip.name, skip.handler, skip.reason, scheduled_for, seq, holder=skip.holder_id
            )
            return WebhookBody("schedule.skipped", at, facts)


def _seq(delivery: Delivery) -> int:
    """Return the acceptance number in the id: it ascends, and other than a serial it fits into a number of JSON."""
    return int(delivery.id.rpartition("-")[2])


def _slack_text(delivery: Delivery) -> str:
    text: str
    match delivery.notice:
        case EndNotice() as ended:
            error = "" if ended.error is None else f": {_shortened(ended.error)}"
            text = f"Task {ended.name} {_ENDED[ended.outcome]} (handler {ended.handler}, id {ended.task_id}){error}"
        case SkipNotice() as skip:
            at = datetime.fromtimestamp(skip.at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
            holder = "" if skip.holder_id is None else f" ({skip.holder_id})"
            why = _SKIPPED[skip.reason] + holder
            text = f"Schedule {skip.schedule} skipped its time {at}: {why}. Task {skip.name} was not submitted."
    # Slack demands exactly these three escapes ("Formatting text for app surfaces"); the ampersand has to be first.
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _shortened(error: str) -> str:
    return error if len(error) <= SLACK_ERROR_CHARACTERS_MAX else f"{error[:SLACK_ERROR_CHARACTERS_MAX]}..."


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
