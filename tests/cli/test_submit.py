"""Tests of ``submit``: every field, params with their types, streams, and the exit status for each outcome."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import msgspec
import pytest

from pexecutor import Task
from pexecutor.cli.local_time import zoned
from pexecutor.cli.main import cli

from ..server.conftest import StartServer
from ..server.process import ServerProcess, eventually
from .conftest import Run, run_with_input

IN_OTHER_WORDS = {"name", "params"}


def test_each_field_of_a_task_has_an_option() -> None:
    options = {parameter.name for parameter in cli.commands["submit"].params if isinstance(parameter, click.Option)}

    assert {field.name for field in msgspec.structs.fields(Task)} - IN_OTHER_WORDS <= options


def test_fields_arrive(run: Run) -> None:
    flags = [
        "--priority",
        "-5",
        "--timeout",
        "1.5s",
        "--retries",
        "3",
        "--retry-delay",
        "250",
        "--retry-delay-max",
        "2m",
    ]
    flags += ["--tag", "nightly", "--tag", "team blue"]
    flags += ["--run-at", "2100-01-01T00:00:00+01:00", "--on-conflict", "join", "--on-crash", "fail", "--keep", "2h"]
    record = run("submit", "fields", "--duration", "10ms", *flags, "--json").json
    shown = {
        name: record[name] for name in ("duration", "priority", "timeout", "retries", "retry_delay", "retry_delay_max")
    }
    assert shown == {
        "duration": 10,
        "priority": -5,
        "timeout": 1500,
        "retries": 3,
        "retry_delay": 250,
        "retry_delay_max": 120_000,
    }
    assert (record["due_at"], record["on_conflict"], record["on_crash"]) == ("2099-12-31T23:00:00.000Z", "join", "fail")
    assert (record["keep"], record["tags"]) == (7_200_000, ["nightly", "team blue"])
    assert 'tags\t["nightly", "team blue"]' in run("show", "fields").out


def test_a_delay_has_units_too(run: Run) -> None:
    assert run("submit", "delayed", "--delay", "1d", "--json").json["state"] == "scheduled"
    result = run("submit", "delayed-2", "--delay", "soon")
    assert (result.status, result.out, result.err.count("\n")) == (2, "", 1)
    assert "write 1500, 1500ms, 1.5s, 10m, 2h or 7d" in result.err


def test_params_have_the_types_of_the_handler(run: Run, tmp_path: Path) -> None:
    (tmp_path / "sizes.json").write_text("[1, 2]")
    (tmp_path / "text").write_text("line 1\nline 2\n")
    params = ["number=7", "share=1", "flag=true", f"text=@{tmp_path}/text", "either=8", "maybe=null", "kind=blue"]
    params += [f"sizes=@{tmp_path}/sizes.json", 'more={"a": "=@"}']
    result = run("submit", "typed", "--handler", "takes", *params, "--wait", "--json")
    assert result.json["result"] == [7, 1, True, "line 1\nline 2\n", "8", None, "blue", [1, 2], {"a": "=@"}]


def test_params_of_a_command_are_text(run: Run) -> None:
    record = run("submit", "text", "--handler", "speak", "code=1", "--json").json
    assert record["params"] == {"code": "1"}


def test_an_at_sign_is_written_twice(run: Run) -> None:
    record = run("submit", "at", "--handler", "takes", "text=@@home", "--json").json
    assert record["params"] == {"text": "@home"}


def test_params_as_a_whole_and_pairs_over_them(run: Run, tmp_path: Path) -> None:
    flags = ["--handler", "takes", "--json"]
    record = run("submit", "whole", *flags, "--params", '{"number": 1, "text": "a"}', "text=b").json
    assert record["params"] == {"number": 1, "text": "b"}
    (tmp_path / "params").write_text('{"number": 2}')
    assert run("submit", "whole-2", *flags, "--params", f"@{tmp_path}/params").json["params"] == {"number": 2}


def test_params_from_standard_input(server: ServerProcess) -> None:
    arguments = ["--handler", "takes", "--json"]
    assert run_with_input(server, b'{"number": 3}', "submit", "in", *arguments, "--params", "-").json["params"] == {
        "number": 3
    }
    result = run_with_input(server, b"as it is\n", "submit", "in-2", *arguments, "text=@-")
    assert result.json["params"] == {"text": "as it is\n"}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["number=seven"], "the param `number` must be JSON (integer), not 'seven'"),
        (["maybe=some"], "the param `maybe` must be JSON (integer or null), not 'some'"),
        (["number"], "'number' is not a param: write key=value"),
        (["text=@/nowhere/at/all"], "cannot read /nowhere/at/all: No such file or directory"),
        (["--params", "[]"], "--params must be a JSON object"),
        (["--priority", "high"], "'high' is not a valid integer"),
        (["number=1.5"], "`params.number`"),
        (["numbr=1"], "unknown parameter `numbr`"),
        (["--priority", "101"], "`priority`: expected `int` <= 100"),
        (["--handler", "none", "a=1"], "unknown handler `none`"),
        (["--on-conflict", "fight"], "fight"),
        (["--url", "127.0.0.1:8080"], "write http:// or https://"),
        (["--url", "http://"], "write http:// or https://"),
        (["--token", "two words"], "the token contains invalid characters"),
    ],
)
def test_what_cannot_be_is_one_line_and_exit_2(run: Run, arguments: list[str], complaint: str) -> None:
    result = run("submit", "bad", "--handler", "takes", *arguments)
    assert (result.status, result.out, result.err.count("\n")) == (2, "", 1)
    assert result.err.startswith("pexecutor: ")
    assert complaint in result.err


def test_it_prints_one_line_of_fields(run: Run) -> None:
    [[task_id, state, name, handler, since]] = [line[:5] for line in run("submit", "line").fields]
    assert (state, name, handler, since[-1]) == ("pending", "line", "sleep", "Z")
    assert run("show", task_id, "--json").json["submitted_at"] == since


@pytest.mark.parametrize(
    ("arguments", "status", "outcome", "note"),
    [
        (["--handler", "takes", "number=2"], 0, "succeeded", '[2, 0.5, false, "", 0, null, "red", [], {}]'),
        (["--handler", "fails", "why=one\ntwo"], 3, "failed", "one two"),
        (["--duration", "60s", "--timeout", "10ms"], 4, "timed_out", "timed out after 10 ms"),
    ],
)
def test_it_exits_by_the_outcome(run: Run, arguments: list[str], status: int, outcome: str, note: str) -> None:
    result = run("submit", f"waits-{outcome}", *arguments, "--wait")
    [[_, standing, _, _, _, said]] = result.fields
    assert (result.status, standing, said, result.err) == (status, outcome, note, "")


def test_a_name_that_is_held(run: Run) -> None:
    task_id = run("submit", "held", "--duration", "60s").fields[0][0]
    result = run("submit", "held")
    assert (result.status, result.out) == (7, "")
    assert result.err == f"pexecutor: the name 'held' is held by the running task {task_id}\n"
    assert run("submit", "held", "--on-conflict", "join").fields[0][0] == task_id


def test_a_full_queue(run: Run, start_server: StartServer) -> None:
    url = start_server("-queue-size", "1", "-pool-size", "1").url
    run("submit", "a", "--duration", "60s", url=url)
    eventually(lambda: run("list", "--state", "running", url=url).out)
    run("submit", "b", url=url)
    result = run("submit", "c", url=url)
    assert (result.status, result.out) == (8, "")
    assert result.err.startswith("pexecutor: the queue has no room for 1 task: try again later (in ")
    assert run("submit", "c", "--wait-for-room", "0.1", url=url).status == 8


def test_a_server_that_drains_and_one_that_is_gone(run: Run, start_server: StartServer) -> None:
    server = start_server()
    run("submit", "a", "--duration", "60s", url=server.url)
    eventually(lambda: server.client.get("/tasks/running").json())
    run("drain", url=server.url)
    result = run("submit", "b", url=server.url)
    assert (result.status, result.out) == (9, "")
    assert "draining" in result.err
    server.close()
    result = run("submit", "b", url=server.url)
    assert (result.status, result.out, result.err) == (
        9,
        "",
        f"pexecutor: cannot reach {server.url}: Connection refused\n",
    )


def test_a_stream(server: ServerProcess) -> None:
    result = run_with_input(
        server, b"".join(b'{"name":"s-%d"}\n' % number for number in range(3000)), "submit", "-", "--json"
    )
    assert result == (
        0,
        '{"RequestedTask":3000,"SubmittedTasks":3000,"DuplicateTasks":0,"RejectedTasks":0,"Tasks":[]}\n',
        "",
    )


def test_a_stream_with_a_duplicate(server: ServerProcess) -> None:
    result = run_with_input(server, b'{"name":"d","delay":60000}\n{"name":"d"}\n', "submit", "-")
    assert result.status == 7
    assert ["DuplicateTasks", "1"] in result.fields


def test_a_stream_with_a_faulty_line(server: ServerProcess) -> None:
    result = run_with_input(
        server, b'{"name":"f","delay":60000}\n{"name":"f"}\n{"nme":"g"}\n{"name":"h"}\n', "submit", "-"
    )
    assert (result.status, result.out) == (2, "")
    message, fault, counts = result.err.splitlines()
    assert message.startswith("pexecutor: unknown field `nme`: did you mean `name`? The fields are: `name`,")
    assert fault.startswith("task 3: unknown field `nme`")
    assert counts == "1 accepted, 1 duplicates, 0 rejected"


def test_a_stream_takes_nothing_else(run: Run) -> None:
    result = run("submit", "-", "--priority", "1")
    assert (result.status, result.err.count("\n")) == (2, 1)


@pytest.mark.parametrize("text", ["03:00", "tomorrow 03:00"])
def test_a_time_of_day_is_sent_with_its_zone_and_reported(run: Run, text: str) -> None:
    status, out, err = run("submit", f"at {text}", "--run-at", text, "--json")
    due = datetime.fromisoformat(msgspec.json.decode(out)["due_at"]).astimezone()
    assert (status, due.strftime("%H:%M:%S")) == (0, "03:00:00")
    assert err == f"{text} means {zoned(due)}\n"
    assert timedelta() < due - datetime.now(UTC) <= timedelta(days=2)


@pytest.mark.parametrize("text", ["3am", "24:00", "today 03:00", ""])
def test_another_time_of_day_is_a_usage_error(run: Run, text: str) -> None:
    status, _, err = run("submit", "never", "--run-at", text)
    assert status == 2
    assert err == (
        f"pexecutor: Invalid value for '--run-at': {text!r} is not a time: write 03:00, 'tomorrow 03:00' or "
        "2030-01-31T08:00:00Z\n"
    )


@pytest.mark.parametrize("option", ["delay", "duration", "timeout", "retry-delay", "retry-delay-max", "keep"])
def test_a_span_of_more_than_a_week_is_refused_in_plain_words(run: Run, option: str) -> None:
    for text in ("8d", "604800001", "604801s", "169h"):
        expected = f"pexecutor: Invalid value for '--{option}': {text} is too long: the maximum is 7d\n"
        assert run("submit", "long", f"--{option}", text, url="http://127.0.0.1:1") == (2, "", expected)
    later = [] if option == "delay" else ["--delay", "1h"]
    assert run("submit", f"a week of {option}", f"--{option}", "7d", *later).status == 0
