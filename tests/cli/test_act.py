"""Tests of ``cancel`` and ``drain``."""

from __future__ import annotations

import pytest

from ..server.conftest import StartServer
from ..server.process import eventually
from .conftest import Run
from .terminal import in_terminal


def test_a_waiting_task_ends_and_a_running_one_is_told_to(run: Run) -> None:
    waiting = run("submit", "waits", "--delay", "1h").fields[0][0]
    run("submit", "runs", "--duration", "600s")
    eventually(lambda: run("list", "--name", "runs", "--state", "running").out)
    result = run("cancel", waiting, "runs")
    assert (result.status, result.err) == (0, "")
    assert [fields[1:3] for fields in result.fields] == [["cancelled", "waits"], ["running", "runs"]]
    eventually(lambda: run("show", "runs", "--json").json.get("outcome") == "cancelled")


def test_one_that_cannot_be_cancelled_does_not_keep_the_others(run: Run) -> None:
    ended = run("submit", "over", "--wait").fields[0][0]
    run("submit", "other", "--delay", "1h")
    result = run("cancel", ended, "over", "nobody", "other")
    assert (result.status, [fields[2] for fields in result.fields]) == (7, ["other"])
    assert result.err.splitlines() == [
        f"pexecutor: the task '{ended}' has already ended",
        "pexecutor: no task in flight has the name 'over'",
        "pexecutor: no task in flight has the name 'nobody'",
    ]


def test_cancelled_records_are_those_of_the_api(run: Run) -> None:
    run("submit", "whole", "--delay", "1h")
    record = run("cancel", "whole", "--json").json
    assert (record["name"], record["outcome"]) == ("whole", "cancelled")
    assert run("show", record["id"], "--json").json == record


def test_a_drain(run: Run, start_server: StartServer) -> None:
    server = start_server()
    run("submit", "last", "--duration", "600s", url=server.url)
    eventually(lambda: run("list", "--state", "running", url=server.url).out)
    result = run("drain", "--json", url=server.url)
    assert (result.status, result.json["status"]) == (0, "draining")
    assert run("list", url=server.url).fields[0][1:3] == ["running", "last"]
    result = run("drain", "--wait", "--wait-timeout", "0.1", url=server.url)
    assert (result.status, ["status", "draining"] in result.fields) == (12, True)
    assert result.err == "pexecutor: timed out: the server is still draining, with 1 task running\n"
    run("cancel", "last", url=server.url)
    assert run("drain", "--wait", url=server.url).status in (0, 9), "it may have ended before that"
    assert server.wait() == 0


def test_a_drain_that_is_waited_for(run: Run, start_server: StartServer) -> None:
    server = start_server()
    run("submit", "last", "--duration", "500ms", url=server.url)
    eventually(lambda: server.client.get("/tasks/running").json())
    assert run("drain", "--wait", url=server.url).status == 0
    assert server.wait() == 0
    assert server.log_events()[-1]["finished"] == 1


def test_a_waiting_task_is_changed(run: Run) -> None:
    task_id = run("submit", "moved", "--delay", "1h").fields[0][0]
    record = run("change", "moved", "--priority", "5", "--run-at", "9999-12-31T23:59:59Z", "--json").json
    assert (record["id"], record["priority"], record["due_at"]) == (task_id, 5, "9999-12-31T23:59:59.000Z")
    assert run("change", task_id, "--run-at", "now").status == 0
    eventually(lambda: run("show", task_id, "--json").json.get("outcome") == "succeeded")
    assert run("change", task_id, "--run-at", "now").status == 7


def test_a_change_needs_a_change(run: Run) -> None:
    result = run("change", "any")
    assert (result.status, result.err) == (2, "pexecutor: give --priority, --run-at or both\n")


@pytest.mark.parametrize(
    ("keys", "status", "last_line"),
    [
        (b"n\r", 1, "pexecutor: the server goes on: the drain was not confirmed"),
        (b"\r", 1, "pexecutor: the server goes on: the drain was not confirmed"),
        (b"\x03", 130, "pexecutor: interrupted"),
        (b"\x04", 130, "pexecutor: interrupted"),
    ],
)
def test_a_drain_that_is_not_confirmed(
    keys: bytes, status: int, last_line: str, run: Run, start_server: StartServer
) -> None:
    server = start_server()
    run("submit", "runs", "--duration", "600s", url=server.url)
    run("submit", "waits", "--delay", "1h", url=server.url)
    eventually(lambda: run("list", "--state", "running", url=server.url).out)
    with in_terminal("drain", "--url", server.url, lines=24, columns=80) as (terminal, _):
        question = terminal.read_until(lambda screen: "[y/N]: " in f"{screen} ")
        assert question == f"Stop the server {server.url}? Tasks: 1 running, 1 waiting [y/N]:"
        terminal.press(keys)
        assert terminal.end() == status
        assert terminal.text().splitlines()[-1] == last_line
    assert server.client.get("/readyz").json()["status"] == "ready"


@pytest.mark.parametrize("arguments", [[], ["--yes"]])
def test_a_drain_on_a_terminal(arguments: list[str], start_server: StartServer) -> None:
    server = start_server()
    with in_terminal("drain", *arguments, "--url", server.url, lines=80, columns=80) as (terminal, _):
        if not arguments:
            terminal.read_until(lambda screen: "[y/N]:" in screen)
            terminal.press(b"y\r")
        assert terminal.end() == 0
        assert ("[y/N]" in terminal.text()) == (arguments == [])
        assert "draining" in terminal.text()
    assert server.wait() == 0
