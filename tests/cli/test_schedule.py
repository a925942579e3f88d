"""Tests of ``schedule``: every command against a real server, and its output in a terminal."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from ..server.process import ServerProcess
from .conftest import Run
from .terminal import in_terminal

NIGHTLY = ("--cron", "0 3 * * *", "--timezone", "Europe/Berlin")


def shown(run: Run, name: str) -> Any:
    return run("schedule", "show", name, "--json").json


def test_a_schedule_is_set_from_options(run: Run) -> None:
    status, out, err = run("schedule", "set", "nightly", *NIGHTLY, "--duration", "5", "--retries", "2")

    assert (status, err) == (0, "")
    name, times, task, upcoming, latest = out.rstrip("\n").split("\t")
    assert (name, times, task, latest) == ("nightly", "0 3 * * * Europe/Berlin", "nightly", "")
    assert datetime.fromisoformat(upcoming).minute == 0
    assert shown(run, "nightly")["task"] == {"name": "nightly", "duration": 5, "retries": 2}


def test_every_option_arrives(run: Run) -> None:
    params = ("number=7", "text={scheduled_for}")
    times = ("--every", "10m", "--start-at", "2998-01-01T00:00:00Z", "--until", "2999-01-01T00:00:00Z")
    more = ("--jitter", "5s", "--catch-up", "none", "--late-max", "1m", "--paused", "--task", "t", "--handler", "takes")
    assert run("schedule", "set", "all", *params, *times, *more).status == 0

    schedule = shown(run, "all")
    schedule.pop("next")
    assert schedule == {
        "name": "all",
        "every": 600_000,
        "start_at": "2998-01-01T00:00:00.000Z",
        "jitter": 5000,
        "until": "2999-01-01T00:00:00.000Z",
        "catch_up": "none",
        "late_max": 60_000,
        "paused": True,
        "owner": "api",
        "occurrences": [],
        "task": {"name": "t", "handler": "takes", "params": {"number": 7, "text": "{scheduled_for}"}},
    }
    [task] = run("schedule", "run", "all").fields
    params_of_task = run("show", task[0], "--json").json["params"]
    assert params_of_task["number"] == 7
    assert datetime.fromisoformat(params_of_task["text"]).year >= 2026


def test_a_run_prints_the_task(run: Run) -> None:
    run("schedule", "set", "now", "--every", "1d", "--duration", "1m")
    [[task_id, _, name, *_]] = run("schedule", "run", "now").fields
    held = run("schedule", "run", "now")
    assert name == "now"
    assert held.status == 7
    assert task_id in held.err
    assert run("schedule", "list").fields[-1][-1] in ("", "fired")
    assert shown(run, "now")["occurrences"] == [{"at": shown(run, "now")["occurrences"][0]["at"], "task_id": task_id}]
    run("cancel", task_id)


def test_a_schedule_is_paused_resumed_and_removed(run: Run) -> None:
    run("schedule", "set", "p", "--every", "1d")
    assert run("schedule", "pause", "p").fields[0][3] == "paused"
    assert run("schedule", "set", "p", "--every", "2d").fields[0][3] == "paused"
    assert run("schedule", "resume", "p").fields[0][3] != "paused"
    assert run("schedule", "set", "p", "--every", "1d", "--paused").fields[0][3] == "paused"
    assert run("schedule", "set", "p", "--every", "1d", "--not-paused").fields[0][3] != "paused"
    assert run("schedule", "remove", "p") == (0, "", "")
    status, _, err = run("schedule", "remove", "p")
    assert (status, err) == (10, "pexecutor: no schedule has the name 'p'\n")


def test_the_list_has_every_schedule(run: Run, server: ServerProcess) -> None:
    names = [f"many {number:03}" for number in range(105)]
    for name in names:
        server.client.put(f"/schedules/{name}", json={"every": 86_400_000, "task": {"name": "t"}})
    listed = [fields[0] for fields in run("schedule", "list").fields]
    assert [name for name in listed if name.startswith("many ")] == names
    documents = run("schedule", "list", "--json").out.splitlines()
    assert len(documents) == len(listed)


def test_an_invalid_schedule_is_refused_with_an_example(run: Run) -> None:
    status, _, err = run("schedule", "set", "bad", "--cron", "0 25 * * *")
    assert status == 2
    assert 'for example "0 3 * * *"' in err
    status, _, err = run("schedule", "set", "bad", "--every", "often")
    assert (status, "'often' is not a time span" in err) == (2, True)
    for option, text, longest in (("every", "367d", "366d"), ("jitter", "8d", "7d"), ("late-max", "8d", "7d")):
        status, _, err = run("schedule", "set", "bad", f"--{option}", text)
        assert (status, f"'--{option}': {text} is too long: the maximum is {longest}" in err) == (2, True)
    assert run("schedule", "set", "bad", "--run-at", "2030-01-01T00:00:00Z").status == 2
    assert run("schedule", "show", "bad").status == 10


@pytest.mark.parametrize("name", ["ü ?", "a:b", "a+b%"])
def test_any_name_can_be_given(run: Run, name: str) -> None:
    assert run("schedule", "set", name, "--every", "1d").fields[0][0] == name
    assert shown(run, name)["name"] == name


def test_a_name_with_a_slash_is_unknown(run: Run) -> None:
    assert run("schedule", "set", "a/b", "--every", "1d").status == 10


def test_a_schedule_of_the_settings_is_removed_by_force_alone(run: Run) -> None:
    refused = run("schedule", "remove", "owned")
    assert refused.status == 7
    assert "change `[schedules.owned]` there" in refused.err
    assert run("schedule", "set", "owned", "--every", "1d", "--duration", "1s").status == 7
    assert run("schedule", "remove", "owned", "--force") == (0, "", "")
    assert run("schedule", "show", "owned").status == 10


def test_details_are_members_in_a_pipe(run: Run) -> None:
    run("schedule", "set", "piped", *NIGHTLY)
    members = dict(fields for fields in run("schedule", "show", "piped").fields)
    assert (members["cron"], members["task.name"], members["owner"]) == ("0 3 * * *", "piped", "api")


def test_people_see_times_in_their_zone(run: Run, server: ServerProcess) -> None:
    run("schedule", "set", "zone", *NIGHTLY, "--until", "2999-06-01T00:00:00Z")
    run("schedule", "run", "zone")

    with in_terminal("schedule", "list", "--url", server.url, lines=150, TZ="Asia/Tokyo") as (terminal, _):
        assert terminal.end() == 0
        text = terminal.text()
    header, *_ = text.splitlines()
    assert header.split() == ["name", "times", "next", "last"]
    assert max(map(len, text.splitlines())) <= 80
    with in_terminal("schedule", "show", "zone", "--url", server.url, TZ="Asia/Tokyo") as (terminal, _):
        assert terminal.end() == 0
        lines = [line.split(None, 1) for line in terminal.text().splitlines()]
    assert ["until", "2999-06-01 09:00:00 JST"] in [[name, value.strip()] for name, value in lines]
    upcoming = [value for name, value in lines if name == "next"]
    assert len(upcoming) == 5
    assert {value.strip()[11:] for value in upcoming} <= {"10:00:00 JST", "11:00:00 JST"}
    assert sum("submitted" in value for name, value in lines if name == "occurrence") == 1
