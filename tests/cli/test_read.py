"""Tests of ``list``, ``show`` and ``handlers``: pages, names, and machine-readable output."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ..server.process import ServerProcess, eventually
from .conftest import Run
from .terminal import in_terminal


@pytest.fixture(scope="module")
def many(server: ServerProcess) -> int:
    """Submit `number` scheduled tasks, more than a page has."""
    tasks = [{"name": f"many-{number}", "delay": 3_600_000} for number in range(990)]
    for half in (tasks[:495], tasks[495:]):
        assert server.client.post("/tasks", json=half).json()["SubmittedTasks"] == 495
    ended = [{"name": f"ended-{number}"} for number in range(20)]
    server.client.post("/tasks?wait_for_room=30", json=ended)
    eventually(lambda: len(server.client.get("/tasks/finished").json()) == 20)
    return 1010


def lines(text: str) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in text.splitlines()]


def test_a_list_has_a_limit(run: Run, many: int) -> None:
    assert len(run("list").fields) == 100
    assert len(run("list", "--limit", "7").fields) == 7
    assert len(run("list", "--limit", "1005").fields) == 1005


def test_all_pages_are_read(run: Run, many: int, server: ServerProcess) -> None:
    records = lines(run("list", "--all", "--json").out)
    assert len({record["id"] for record in records}) == many
    first_page = server.client.get("/tasks").json()
    assert records[: len(first_page)] == first_page


def test_a_listed_document_is_exactly_what_the_api_said(run: Run, many: int, server: ServerProcess) -> None:
    out = run("list", "--state", "finished", "--json").out
    assert "[" + ",".join(out.splitlines()) + "]" == server.client.get("/tasks/finished").text


def test_only_some(run: Run, many: int) -> None:
    assert {fields[1] for fields in run("list", "--state", "finished").fields} == {"succeeded"}
    assert [fields[2] for fields in run("list", "--name", "many-3").fields] == ["many-3"]
    assert run("list", "--name", "nobody") == (0, "", "")
    assert run("list", "--state", "lost").status == 2


def test_a_reader_that_leaves(server: ServerProcess, many: int, run: Run) -> None:
    with in_terminal("list", "--all", "--url", server.url, lines=1020, columns=100) as (terminal, _):
        assert terminal.end() == 0
        assert "many-989" in terminal.text()


def test_show_is_exactly_what_the_api_said(run: Run, server: ServerProcess) -> None:
    task_id = run("submit", "shown", "--handler", "takes", "text=a\tb\x1b[31m", "--wait").fields[0][0]
    assert run("show", task_id, "--json").out == server.client.get(f"/tasks/{task_id}").text + "\n"
    shown = dict(run("show", task_id).fields)
    assert (shown["id"], shown["params.text"], shown["outcome"]) == (task_id, "a b [31m", "succeeded")
    assert shown["attempts.1.outcome"] == "succeeded"


def test_a_name_is_that_of_the_task_in_flight_or_of_the_last_that_ended(run: Run) -> None:
    first = run("submit", "named", "--wait").fields[0][0]
    second = run("submit", "named", "--wait").fields[0][0]
    assert first != second
    assert run("show", "named", "--json").json["id"] == second
    third = run("submit", "named", "--delay", "1h").fields[0][0]
    assert run("show", "named", "--json").json["id"] == third


def test_a_name_that_two_have(run: Run) -> None:
    holder = run("submit", "two", "--duration", "60s").fields[0][0]
    eventually(lambda: run("list", "--name", "two", "--state", "running").out)
    follower = run("submit", "two", "--on-conflict", "latest").fields[0][0]
    result = run("show", "two")
    assert result.status == 10
    assert f"{follower} (scheduled), {holder} (running)" in result.err
    assert run("show", follower, "--json").json["follows"] == holder


def test_a_name_may_look_like_an_id_or_like_a_path(run: Run) -> None:
    for name in ("abcdef-12", "running", "../livez", "a/b?c=d&e", "ä ö%20"):
        task_id = run("submit", name, "--delay", "1h").fields[0][0]
        assert run("show", name, "--json").json["id"] == task_id


@pytest.mark.parametrize("task", ["nobody", "abcdef-1"])
def test_a_task_that_is_not_there(run: Run, task: str) -> None:
    assert run("show", task) == (10, "", f"pexecutor: no task has the name '{task}'\n")


def test_handlers(run: Run, server: ServerProcess) -> None:
    listed = {fields[0]: fields[1:] for fields in run("handlers").fields}
    assert listed["sleep"] == ["", "Sleeps for the task's duration, in milliseconds"]
    assert listed["speak"] == ["code:boolean|number|string", "runs a program"]
    assert listed["steps"] == ["file:string steps:integer", "Takes a step whenever the file gets longer."]
    assert listed["takes"][0] == (
        'number:integer=1 share:number=0.5 flag:boolean=false text:string="" either:integer|string=0 '
        'maybe:integer|null=null kind:string="red" sizes:array=[] more:object={}'
    )
    assert lines(run("handlers", "--json").out) == server.client.get("/handlers").json()


class TestInATerminal:
    def test_a_table_for_people(self, server: ServerProcess, run: Run) -> None:
        run("submit", "[red]table[/]", "--handler", "fails", "--wait")
        with in_terminal("list", "--name", "[red]table[/]", "--url", server.url) as (terminal, _):
            assert terminal.end() == 0
        header, row = terminal.text().splitlines()
        assert header.split() == ["id", "state", "name", "handler", "since"]
        assert row.split()[1:4] == ["failed", "[red]table[/]", "fails"]
        assert row.endswith(" ago  because")
        assert b"\x1b[31mfailed" in terminal.written

    def test_without_colours(self, server: ServerProcess, run: Run) -> None:
        run("submit", "grey", "--handler", "fails", "--wait")
        with in_terminal("list", "--name", "grey", "--url", server.url, NO_COLOR="1") as (terminal, _):
            assert terminal.end() == 0
        assert b"failed" in terminal.written
        assert b"\x1b[31m" not in terminal.written

    @pytest.mark.parametrize("command", [["show", "told"], ["handlers"]])
    def test_the_others(self, server: ServerProcess, run: Run, command: list[str]) -> None:
        run("submit", "told", "--on-conflict", "join", "--delay", "1h")
        with in_terminal(*command, "--url", server.url) as (terminal, _):
            assert terminal.end() == 0
        assert "sleep" in terminal.text()


def test_a_list_fits_80_columns_and_breaks_no_name(run: Run, server: ServerProcess) -> None:
    name = "nightly-dump-of-the-customers"
    code = "import sys; sys.exit('no space left on device: /var/backups/customers.dump')"
    run("submit", name, "--handler", "speak", f"code={code}", "--wait")
    with in_terminal("list", "--name", name, "--url", server.url, columns=80) as (terminal, _):
        assert terminal.end() == 0
        titles, row, note = terminal.text().splitlines()
    assert titles.split() == ["id", "state", "name", "handler", "since"]
    assert row.split()[1:4] == ["failed", name, "speak"]
    assert note == "    exit code 1: no space left on device: /var/backups/customers.dump"


def test_handlers_fit_80_columns_and_break_no_param(run: Run, server: ServerProcess) -> None:
    with in_terminal("handlers", "--url", server.url, columns=80) as (terminal, _):
        assert terminal.end() == 0
        words = terminal.text().split()
    assert {"number:integer=1", 'kind:string="red"', "maybe:integer|null=null"} <= set(words)
