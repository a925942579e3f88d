"""The bodies of notifications."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from pexecutor.notifications.message import SLACK_ERROR_CHARACTERS_MAX, Preset, body_of
from pexecutor.stores.deliveries import EndNotice, Notice, SkipNotice

from .deliveries import ENDED, SKIPPED, delivery

SLACK_SKIP = "Schedule s skipped its time 2027-01-15 08:00:00 UTC"


def body(notice: Notice, preset: Preset = "webhook") -> Any:
    return json.loads(body_of(delivery(43, notice=notice), preset))


def ended(**fields: Any) -> EndNotice:
    return msgspec.structs.replace(ENDED, **fields)


def test_a_task_that_failed() -> None:
    assert body(ENDED) == {
        "type": "task.failed",
        "timestamp": "2027-01-15T08:00:03.000Z",
        "data": {
            "id": "a3f09c-42",
            "name": "nightly",
            "handler": "dump",
            "outcome": "failed",
            "submitted_at": "2027-01-15T08:00:00.000Z",
            "started_at": "2027-01-15T08:00:01.000Z",
            "finished_at": "2027-01-15T08:00:02.500Z",
            "seq": 43,
            "error": "exit code 1",
        },
    }


def test_a_task_that_never_started_has_neither_start_nor_error() -> None:
    told = body(ended(outcome="cancelled", started_at=None, error=None))

    assert told["type"] == "task.cancelled"
    assert {"started_at", "error"}.isdisjoint(told["data"])


def test_a_skipped_occurrence() -> None:
    assert body(SKIPPED) == {
        "type": "schedule.skipped",
        "timestamp": "2027-01-15T08:00:03.000Z",
        "data": {
            "schedule": "s",
            "name": "nightly",
            "handler": "dump",
            "reason": "held",
            "scheduled_for": "2027-01-15T08:00:00.000Z",
            "seq": 43,
            "holder": "a3f09c-7",
        },
    }


@pytest.mark.parametrize(
    ("notice", "text"),
    [
        (ENDED, "Task nightly failed (handler dump, id a3f09c-42): exit code 1"),
        (ended(outcome="timed_out", error=None), "Task nightly timed out (handler dump, id a3f09c-42)"),
        (ended(outcome="abandoned", error=None), "Task nightly was abandoned (handler dump, id a3f09c-42)"),
        (ended(outcome="cancelled", error=None), "Task nightly was cancelled (handler dump, id a3f09c-42)"),
        (ended(outcome="succeeded", error=None), "Task nightly succeeded (handler dump, id a3f09c-42)"),
        (
            SKIPPED,
            f"{SLACK_SKIP}: a task holds its name (a3f09c-7). Task nightly was not submitted.",
        ),
        (
            SkipNotice("s", "nightly", "dump", "full", ENDED.submitted_at),
            f"{SLACK_SKIP}: the queue was full. Task nightly was not submitted.",
        ),
    ],
)
def test_slack_gets_a_sentence(notice: Notice, text: str) -> None:
    assert body(notice, "slack") == {"text": text}


def test_slack_gets_no_links_and_no_mentions_from_a_task() -> None:
    [text] = body(ended(name="<!channel> & <https://evil.example|a>"), "slack").values()

    assert "&lt;!channel&gt; &amp; &lt;https://evil.example|a&gt;" in text
    assert "<" not in text


def test_slack_gets_a_bounded_part_of_a_long_error() -> None:
    [text] = body(ended(error="x" * 8000), "slack").values()

    assert text.count("x") == SLACK_ERROR_CHARACTERS_MAX
    assert text.endswith("...")
