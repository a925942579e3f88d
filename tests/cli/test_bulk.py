"""Tests of ``cancel``, ``retry`` and ``priority`` with filters, and of the filters of ``list``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ..server.conftest import StartServer
from ..server.process import eventually
from .conftest import Run
from .terminal import in_terminal


def submit_waiting(run: Run, *names: str, url: str | None = None) -> None:
    for name in names:
        run("submit", name, "--delay", "1h", "--tag", "ours", **({} if url is None else {"url": url}))


def counts(result_fields: list[list[str]]) -> dict[str, str]:
    return dict(result_fields)


def test_a_filter_cancels_what_matches(run: Run) -> None:
    submit_waiting(run, "first-1", "first-2", "second-1")
    matching = run("cancel", "--name-prefix", "first-", "--dry-run")
    assert counts(matching.fields) == {"matched": "2", "changed": "0", "unchanged": "0", "more": "false"}
    done = run("cancel", "--name-prefix", "first-")
    assert (done.status, done.err) == (0, "")
    assert counts(done.fields) == {"matched": "2", "changed": "2", "unchanged": "0", "more": "false"}
    assert [fields[2] for fields in run("list", "--tag", "ours", "--outcome", "cancelled").fields] == [
        "first-2",
        "first-1",
    ]
    assert run("list", "--name-prefix", "second-", "--state", "scheduled").fields[0][2] == "second-1"


def test_the_failures_of_yesterday_run_again(run: Run) -> None:
    for name in ("broken-1", "broken-2"):
        run("submit", name, "--handler", "fails", "why=disk full", "--wait")
    done = run("retry", "--outcome", "failed", "--error", "disk full", "--finished-since", "yesterday", "--json").json
    assert (done["matched"], done["changed"]) == (2, 2)
    eventually(lambda: len(run("list", "--outcome", "failed", "--name-prefix", "broken-").fields) == 4)


def test_a_named_task_is_submitted_again(run: Run) -> None:
    ended = run("submit", "again", "--duration", "1ms", "--wait").fields[0][0]
    done = counts(run("retry", "again").fields)
    assert (done["changed"], done["unknown"]) == ("1", "0")
    eventually(lambda: len(run("list", "--name", "again", "--state", "finished").fields) == 2)
    again = run("show", "again", "--json").json
    assert again["retry_of"] == ended
    assert run("retry", "nobody").status == 10


def test_a_priority_is_given_to_what_matches(run: Run) -> None:
    submit_waiting(run, "moved-1", "moved-2")
    assert counts(run("priority", "--name-prefix", "moved-", "--", "-7").fields)["changed"] == "2"
    assert counts(run("priority", "9", "moved-2").fields)["changed"] == "1"
    assert [run("show", name, "--json").json["priority"] for name in ("moved-1", "moved-2")] == [-7, 9]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cancel"], "name tasks, or give a filter such as --name-prefix"),
        (["cancel", "a", "--tag", "b"], "name tasks or give a filter, but not both"),
        (["retry", "a", "--dry-run"], "--dry-run is for a filter: the tasks are named"),
        (["cancel", "--outcome", "failed"], "`filter` matches no scheduled or pending or running task"),
        (["priority", "101", "a"], "101 is not in the range -100<=x<=100"),
        (["list", "--since", "soon"], "'soon' is not a time: write 2h, 03:00, yesterday, 'yesterday 03:00' or "),
    ],
)
def test_wrong_use_is_explained(run: Run, arguments: list[str], message: str) -> None:
    result = run(*arguments)
    assert (result.status, result.out) == (2, "")
    assert message in result.err


def test_a_list_says_how_many_tasks_it_left_out(run: Run) -> None:
    submit_waiting(run, *(f"many-{number}" for number in range(4)))
    result = run("list", "--name-prefix", "many-", "--limit", "3")
    assert (len(result.fields), result.err) == (3, "1 more task matches: raise --limit, or use --all\n")
    result = run("list", "--name-prefix", "many-", "--limit", "1")
    assert result.err == "3 more tasks match: raise --limit, or use --all\n"
    for enough in (["--limit", "4"], ["--all"]):
        result = run("list", "--name-prefix", "many-", *enough)
        assert (len(result.fields), result.err) == (4, "")


def test_a_time_is_a_span_before_now(run: Run) -> None:
    submit_waiting(run, "timed")
    assert run("list", "--name", "timed", "--since", "1m").fields
    assert not run("list", "--name", "timed", "--until", "1m").fields
    at = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert run("list", "--name", "timed", "--until", at).fields


@pytest.mark.parametrize(("keys", "status", "left"), [(b"n\r", 1, 2), (b"\x03", 130, 2), (b"y\r", 0, 0)])
def test_a_terminal_asks_first(keys: bytes, status: int, left: int, run: Run, start_server: StartServer) -> None:
    server = start_server()
    submit_waiting(run, "our-1", "our-2", url=server.url)
    with in_terminal("cancel", "--tag", "ours", "--url", server.url, lines=24, columns=80) as (terminal, _):
        question = terminal.read_until(lambda screen: "[y/N]: " in f"{screen} ")
        assert question == f"Cancel 2 tasks of {server.url}? [y/N]:"
        terminal.press(keys)
        assert terminal.end() == status
    assert len(server.client.get("/tasks?state=scheduled").json()) == left
