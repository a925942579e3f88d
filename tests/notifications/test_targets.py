"""Which targets a task's outcome and a skip have."""

from __future__ import annotations

from typing import Any

import pytest

from pexecutor import Task
from pexecutor.notifications.settings import load_targets
from pexecutor.notifications.targets import CHOICES_REMEMBERED_MAX, Targets
from pexecutor.task import Brings


def targets(**tables: dict[str, Any]) -> Targets:
    named = {name: {"url": "https://example.org/"} | table for name, table in tables.items()}
    return Targets(load_targets(named, ["sleep", "backup", "dump"], {}))


def test_by_default_what_went_wrong_is_notified() -> None:
    assert targets(ops={}).brings(Task("a")) == Brings(failed=("ops",), timed_out=("ops",), abandoned=("ops",))


def test_each_outcome_has_its_targets() -> None:
    chosen = targets(all={"on": ["succeeded", "failed", "cancelled"]}, bad={"on": ["failed"]})

    assert chosen.brings(Task("a")) == Brings(succeeded=("all",), failed=("all", "bad"), cancelled=("all",))


@pytest.mark.parametrize(
    ("table", "fits"),
    [
        ({"handlers": ["backup"]}, {"nightly-db by backup", "hourly by backup"}),
        ({"handlers": ["ba*", "dump"]}, {"nightly-db by backup", "nightly-db by dump", "hourly by backup"}),
        ({"names": ["nightly-*"]}, {"nightly-db by backup", "nightly-db by dump"}),
        ({"names": ["nightly-??", "hour[lm]y"], "handlers": ["backup"]}, {"nightly-db by backup", "hourly by backup"}),
        ({"names": ["nightly", "*ly-"]}, set[str]()),
        ({"names": ["NIGHTLY-*"]}, set[str]()),
    ],
)
def test_patterns_choose_by_handler_and_name(table: dict[str, Any], fits: set[str]) -> None:
    chosen = targets(ops=table)
    tasks = [Task("nightly-db", handler="backup"), Task("nightly-db", handler="dump"), Task("hourly", handler="backup")]

    for _ in range(2):  # the second time, from what is remembered
        assert {f"{task.name} by {task.handler}" for task in tasks if chosen.brings(task) is not None} == fits


def test_a_name_of_several_lines_is_one_text() -> None:
    assert targets(ops={"names": ["a*z"]}).brings(Task("a\u2028z")) is not None


def test_equal_choices_share_one_value() -> None:
    chosen = targets(ops={"handlers": ["backup", "dump"]}, night={"names": ["nightly-*"]})

    shared = chosen.brings(Task("nightly-1", handler="backup"))
    assert shared is not None
    assert chosen.brings(Task("nightly-2", handler="dump")) is shared
    assert chosen.brings(Task("nightly-2")) is not shared


def test_without_targets_nothing_is_chosen() -> None:
    assert Targets({}).brings(Task("a")) is None
    assert Targets({}).for_skip(Task("a")) == ()


def test_only_targets_for_skips_are_notified_of_skips() -> None:
    chosen = targets(
        ops={"on": ["skipped"]}, both={"on": ["failed", "skipped"], "names": ["nightly-*"]}, bad={"on": ["failed"]}
    )

    assert chosen.for_skip(Task("nightly-db")) == ("ops", "both")
    assert chosen.for_skip(Task("hourly")) == ("ops",)
    assert targets(ops={"on": ["skipped"]}).brings(Task("a")) is None


def test_a_target_that_is_switched_off_is_chosen_no_more() -> None:
    chosen = targets(ops={}, other={"on": ["skipped"]})
    assert chosen.brings(Task("a")) is not None

    chosen.switch_off("ops")

    assert chosen.brings(Task("a")) is None
    assert list(chosen) == ["other"]


def test_what_is_remembered_is_bounded() -> None:
    chosen = targets(**{f"t{number}": {"names": [f"*{number:02}*"]} for number in range(32)})

    for number in range(3 * CHOICES_REMEMBERED_MAX):
        chosen.brings(Task("-".join(f"{bit:02}" for bit in range(12) if number >> bit & 1) or "none"))
        chosen.for_skip(Task("a", handler=f"unknown-{number}"))

    assert len(chosen._shared) <= CHOICES_REMEMBERED_MAX
    assert len(chosen._of_handler) <= CHOICES_REMEMBERED_MAX


def test_patterns_take_no_long_time() -> None:
    chosen = targets(ops={"names": ["*a" * 100 + "b"]})

    assert chosen.brings(Task("a" * 255)) is None
