"""Tests of ``wait``: the outcomes of several tasks, and the exit status."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ..server.process import ServerProcess, eventually
from .conftest import SECONDS_MAX, Run, take_step
from .test_waiting import is_running, started


def test_it_waits_for_all_tasks_and_prints_them_in_order(server: ServerProcess, steps_file: Path) -> None:
    for number in (1, 2):
        params = {"file": str(steps_file), "steps": number}
        task = {"name": f"wait-{number}", "handler": "steps", "params": params}
        server.client.post("/tasks", json=task).raise_for_status()
    with started("wait", "wait-2", "wait-1", url=server.url) as waiting:
        eventually(lambda: is_running(server, "wait-2"))
        take_step(steps_file)
        eventually(lambda: not is_running(server, "wait-1"))
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(0.2)
        take_step(steps_file)
        out, err = waiting.communicate(timeout=SECONDS_MAX)
    assert (waiting.returncode, err) == (0, "")
    assert [line.split("\t")[1:3] for line in out.splitlines()] == [["succeeded", "wait-2"], ["succeeded", "wait-1"]]


@pytest.mark.parametrize(
    ("tasks", "status"),
    [
        (["good"], 0),
        (["good", "bad", "late"], 3),
        (["good", "late", "bad"], 4),
        (["dropped", "bad"], 5),
        (["nobody", "bad", "good"], 10),
    ],
)
def test_the_exit_status_is_that_of_the_first_task_that_has_not_succeeded(
    run: Run, tasks: list[str], status: int
) -> None:
    run("submit", "good")
    run("submit", "bad", "--handler", "fails")
    run("submit", "late", "--duration", "600s", "--timeout", "1ms")
    run("submit", "dropped", "--delay", "1h")
    run("cancel", "dropped")
    result = run("wait", *tasks)
    assert (result.status, [fields[2] for fields in result.fields]) == (status, [t for t in tasks if t != "nobody"])
    assert result.err == ("pexecutor: no task has the name 'nobody'\n" if "nobody" in tasks else "")


def test_a_task_that_has_not_ended_in_time_goes_on(run: Run) -> None:
    run("submit", "ends")
    run("wait", "ends")
    task_id = run("submit", "goes on", "--duration", "600s", "--json").json["id"]
    eventually(lambda: run("list", "--name", "goes on", "--state", "running").out)
    result = run("wait", "goes on", "ends", "--timeout", "0.2")
    assert (result.status, [fields[2] for fields in result.fields]) == (12, ["ends"])
    assert result.err == f"pexecutor: timed out: the task {task_id} is still running, and was not cancelled\n"
    assert run("show", task_id, "--json").json["state"] == "running"


def test_the_records_are_those_of_the_api(run: Run) -> None:
    task_id = run("submit", "as json", "--json").json["id"]
    assert run("wait", task_id, "--json").json == run("show", task_id, "--json").json


def test_it_needs_a_task(run: Run) -> None:
    assert run("wait").status == 2
