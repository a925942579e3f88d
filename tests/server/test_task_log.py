"""Log lines about tasks: all at debug level, only failures above, and a bounded number of them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs
from structlog.typing import EventDict

from pexecutor import Attempt, Ending, Finished, Outcome, Pending, Record, Running, Scheduled, Task
from pexecutor.log import WARNINGS_PER_SECOND_MAX, TaskLog, configure_logging
from pexecutor.task import make_serial

from .conftest import StartServer
from .process import eventually

TASK = Task("a")
SERIAL = make_serial(0xABCDEF, 1)
FAILED = Attempt(1.0, 1.5, Outcome.FAILED, "no\nway")


def finished(outcome: Outcome) -> Finished:
    attempts = (Attempt(1.0, 1.5, outcome, None if outcome is Outcome.SUCCEEDED else "no\nway"),)
    return Finished(SERIAL, TASK, 1.0, attempts, 2.0, Ending(outcome))


LIFE: list[Record] = [
    Scheduled(SERIAL, TASK, 1.0, (), 5.0),
    Pending(SERIAL, TASK, 1.0, ()),
    Running(SERIAL, TASK, 1.0, (), 1.0),
    Scheduled(SERIAL, TASK, 1.0, (FAILED,), 5.0),
    finished(Outcome.SUCCEEDED),
    finished(Outcome.CANCELLED),
]


@pytest.fixture
def logged() -> Iterator[list[EventDict]]:
    """Capture all log lines, regardless of earlier configuration."""
    structlog.reset_defaults()
    with capture_logs() as events:
        yield events


def test_each_change_is_one_line_at_debug(logged: list[EventDict]) -> None:
    log = TaskLog("debug")
    log(LIFE)
    assert [(event["log_level"], event["event"], event["state"]) for event in logged] == [
        ("debug", "task", "scheduled"),
        ("debug", "task", "pending"),
        ("debug", "task", "running"),
        ("debug", "task", "scheduled"),
        ("debug", "task", "finished"),
        ("debug", "task", "finished"),
    ]
    common = {"event": "task", "log_level": "debug", "id": "abcdef-1", "task": "a", "handler": "sleep"}
    assert logged[3] == common | {"state": "scheduled", "attempts": 1, "seconds": 0.5, "error": "no way"}
    assert logged[4] == common | {"state": "finished", "attempts": 1, "seconds": 0.5, "outcome": "succeeded"}


def test_above_debug_only_failures_are_logged(logged: list[EventDict]) -> None:
    log = TaskLog("info")
    log([*LIFE, finished(Outcome.FAILED), finished(Outcome.TIMED_OUT)])
    assert [(event["log_level"], event["outcome"]) for event in logged] == [
        ("warning", "failed"),
        ("warning", "timed_out"),
    ]


def test_failures_are_no_flood_and_none_is_lost_count_of(logged: list[EventDict]) -> None:
    now = 100.0
    log = TaskLog("info", now=lambda: now)
    failure = finished(Outcome.FAILED)
    for _ in range(WARNINGS_PER_SECOND_MAX + 5):
        log([failure])
    assert len(logged) == WARNINGS_PER_SECOND_MAX
    now += 0.9
    log([failure])
    assert len(logged) == WARNINGS_PER_SECOND_MAX
    now += 0.1
    log([failure])
    log([failure])
    assert [event.get("left_out") for event in logged[WARNINGS_PER_SECOND_MAX:]] == [6, None]


@pytest.mark.parametrize(("level", "states"), [("debug", {"pending", "running", "finished"}), ("info", set())])
def test_a_server_logs_them(start_server: StartServer, level: str, states: set[str]) -> None:
    server = start_server("--log-level", level)
    task_id = server.client.post("/tasks", json={"name": "a"}).json()["id"]
    server.client.get(f"/tasks/{task_id}?wait=10")

    def logged_states() -> set[str]:
        return {event["state"] for event in server.log_events() if event["event"] == "task"}

    eventually(lambda: logged_states() == states)
    failing = server.client.post("/tasks", json={"name": "b", "duration": 60000, "timeout": 1}).json()["id"]
    server.client.get(f"/tasks/{failing}?wait=10")
    last: dict[str, Any] = eventually(lambda: [event for event in server.log_events() if event["level"] == "warning"])[
        -1
    ]
    assert (last["level"], last["id"], last["outcome"]) == ("warning", failing, "timed_out")


def test_what_inner_parts_say_with_logging_is_a_line_of_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    own = logging.getLogger("pexecutor")
    handlers, propagate = own.handlers, own.propagate
    try:
        configure_logging("info", "json")
        logging.getLogger("pexecutor.handlers.functions.containment").error("the Trio system task %s failed", "x")
    finally:
        own.handlers, own.propagate = handlers, propagate
        structlog.reset_defaults()

    [line] = capsys.readouterr().err.splitlines()
    assert json.loads(line).items() >= {"event": "the Trio system task x failed", "level": "error"}.items()
