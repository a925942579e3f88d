"""Tests of commands: their input, the output that is kept, and that none of their processes remains."""

from __future__ import annotations

import json
import os
import resource
from pathlib import Path
from typing import Any

import pytest
import trio

from pexecutor import ConfigError, Context, HandlerFailedError

from .conftest import Lab, task

SHOW_ARGUMENTS = "import json, sys; print(json.dumps(sys.argv[1:]))"

STUBBORN_FAMILY = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    if os.fork() == 0:
        print(os.getpgid(0), flush=True)
    time.sleep(600)
time.sleep(600)
"""

LEAVES_A_CHILD = """
import os, time
if os.fork() == 0:
    time.sleep(600)
print(os.getpgid(0), flush=True)
"""

AWKWARD = [
    "two words",
    "'single' \"double\"",
    "; rm -rf /",
    "$(id) `id` $HOME",
    "a\nb\r\nc",
    "--output=/etc/passwd",
    "-",
    "*?[a-z]",
    "{x}",
    "\\",
    "",
    "ünïcødé ☃",
    "x" * 65_000,
]


def group_is_gone(group: int) -> bool:
    states = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group:
            states.append(fields[0])
    return set(states) <= {"Z"}


async def stdout_of(context: Context) -> str:
    with trio.fail_after(10):
        while not (text := context.output.snapshot().stdout):  # noqa: ASYNC110
            await trio.sleep(0.01)
    return text


@pytest.mark.parametrize("value", AWKWARD, ids=[repr(value[:12]) for value in AWKWARD])
async def test_what_fills_a_slot_arrives_as_it_is(lab: Lab, context: Context, value: str) -> None:
    command = lab.python(SHOW_ARGUMENTS, "first", "{value}", "last")
    assert command.check(task(value=value)) is None
    await command.run(context, task(value=value))
    snapshot = context.output.snapshot()
    assert (
        json.loads(snapshot.stdout) == ["first", value, "last"] if len(value) < 1000 else snapshot.stdout_bytes > 65_000
    )


@pytest.mark.parametrize("value", AWKWARD[:-1], ids=[repr(value[:12]) for value in AWKWARD[:-1]])
async def test_a_value_after_an_option_stays_in_its_argument(lab: Lab, context: Context, value: str) -> None:
    command = lab.python(SHOW_ARGUMENTS, "--file={value}", "label={value}", "--file={{value}}", "{value}")
    assert command.check(task(value=value)) is None
    await command.run(context, task(value=value))
    expected = [f"--file={value}", f"label={value}", "--file={value}", value]
    assert json.loads(context.output.snapshot().stdout) == expected


@pytest.mark.parametrize(
    "argument",
    ["-f{x}", "echo {x}", "/data/{x}", "--file=/data/{x}", "--a=b={x}", "={x}", "{x}{x}", "--f={x}.gz", "--f={x}={x}",
     "a b={x}", "é={x}", "--f={ x}", "--f={x}\n"],
)  # fmt: skip
def test_a_slot_within_other_text_is_refused(lab: Lab, argument: str) -> None:
    with pytest.raises(ConfigError, match=r"it\.command\[1\]: a slot like `\{name\}` must be a whole argument or all"):
        lab.make(command=["echo", argument])


@pytest.mark.parametrize(("value", "text"), [(5, "5"), (-0.5, "-0.5"), (True, "true"), (False, "false")])
async def test_numbers_and_booleans_become_text(lab: Lab, context: Context, value: object, text: str) -> None:
    command = lab.python(SHOW_ARGUMENTS, "{value}")
    assert command.check(task(value=value)) is None
    await command.run(context, task(value=value))
    assert json.loads(context.output.snapshot().stdout) == [text]


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({}, "params.value"),
        ({"value": "a\0b"}, "params.value"),
        ({"value": None}, "params.value"),
        ({"value": ["a"]}, "params.value"),
        ({"value": {"a": 1}}, "params.value"),
        ({"value": "a", "other": 1}, "params.other"),
    ],
)
def test_what_cannot_fill_a_slot_is_refused_at_submit(lab: Lab, params: dict[str, Any], field: str) -> None:
    command = lab.python(SHOW_ARGUMENTS, "{value}")
    complaint = command.check(task(**params))
    assert complaint is not None
    assert complaint[0] == field


async def test_the_environment_is_the_operators_alone(lab: Lab, context: Context) -> None:
    command = lab.python("import json, os; print(json.dumps(dict(os.environ)))", env={"MODE": "night"})
    await command.run(context, task())
    environment = json.loads(context.output.snapshot().stdout)
    environment.pop("LC_CTYPE", None)  # Python sets this variable itself
    marks = {"PEXECUTOR_TASK_ID": context.id, "PEXECUTOR_TASK_NAME": context.name, "PEXECUTOR_TASK_TOKEN": "0"}
    assert len(environment.pop("PEXECUTOR_TASK_STORE")) == 16
    assert environment.pop("PEXECUTOR_TASK_SERVER") == str(os.getpid())
    assert environment == {"PATH": "/usr/bin:/bin", "MODE": "night", **marks}


async def test_the_environment_is_filled_from_that_of_the_server(lab: Lab, context: Context) -> None:
    lab.environment |= {"EMPTY": "", "TRICKY": "${SECRET} $${"}
    env = {"A": "${SECRET}", "B": "x${SECRET}y${EMPTY}", "C": "${TRICKY}", "D": "$HOME $$ $${SECRET} {x}"}
    command = lab.python("import json, os; print(json.dumps([os.environ[name] for name in 'ABCD']))", env=env)
    lab.environment.clear()
    await command.run(context, task())
    expected = ["s3cr3t-t0k3n", "xs3cr3t-t0k3ny", "${SECRET} $${", "$HOME $$ ${SECRET} {x}"]
    assert json.loads(context.output.snapshot().stdout) == expected


def test_a_message_about_the_environment_shows_no_value(lab: Lab) -> None:
    with pytest.raises(ConfigError) as error:
        lab.make(command=["true"], env={"X": "p4ssw0rd${SECRET}${"})
    assert "p4ss" not in str(error.value)
    assert "s3cr3t" not in str(error.value)


async def test_standard_input_is_fed_when_it_is_declared(lab: Lab, context: Context) -> None:
    command = lab.python("import sys; print(len(sys.stdin.read()))", stdin=True)
    complaint = command.check(task())
    assert complaint is not None
    assert complaint[0] == "params.stdin"
    await command.run(context, task(stdin="x" * 60_000))
    assert context.output.snapshot().stdout == "60000\n"


async def test_a_command_that_does_not_read_its_input_is_no_failure(lab: Lab, context: Context) -> None:
    await lab.make(command=["true"], stdin=True).run(context, task(stdin="x" * 60_000))
    assert context.output.exit_code == 0


async def test_an_exit_code_or_a_signal_is_a_failure_that_may_be_retried(lab: Lab, context: Context) -> None:
    with pytest.raises(HandlerFailedError, match=r"^exit code 3$") as failed:
        await lab.python("import sys; print('so'); sys.exit(3)").run(context, task())
    assert failed.value.retryable
    assert context.output.snapshot().stdout == "so\n"
    with pytest.raises(HandlerFailedError, match=r"^ended by SIGKILL$"):
        await lab.python("import os; os.kill(os.getpid(), 9)").run(context, task())


async def test_a_failure_names_the_last_line_of_standard_error(lab: Lab, context: Context) -> None:
    program = "import os, sys; print('not this'); print('so\\ndisk full {}\\n', file=sys.stderr, flush=True)"
    with pytest.raises(HandlerFailedError, match=r"^exit code 3: disk full \{\}$"):
        await lab.python(f"{program}; sys.exit(3)").run(context, task())
    with pytest.raises(HandlerFailedError, match=r"^ended by SIGKILL: disk full \{\}$"):
        await lab.python(f"{program}; os.kill(os.getpid(), 9)").run(context, task())


@pytest.mark.parametrize("program", ["no-such-program", "/etc/hostname"])
async def test_a_program_that_cannot_be_started_is_final(lab: Lab, context: Context, program: str) -> None:
    with pytest.raises(HandlerFailedError, match=program) as failed:
        await lab.make(command=[program]).run(context, task())
    assert not failed.value.retryable


async def test_output_without_end_is_kept_to_its_tail(lab: Lab, context: Context) -> None:
    """The command writes one GiB; the memory use stays flat."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    command = lab.make(command=["sh", "-c", "head -c 1073741824 /dev/zero; echo the end; echo so >&2"])
    await command.run(context, task())
    snapshot = context.output.snapshot()
    assert snapshot.stdout_bytes == 2**30 + 8
    assert len(snapshot.stdout) == 65_536
    assert snapshot.stdout.endswith("\0the end\n")
    assert snapshot.stderr == "so\n"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 * 1024


async def test_output_can_be_read_while_it_runs(lab: Lab, context: Context, nursery: trio.Nursery) -> None:
    command = lab.python("import time; print('under way', flush=True); time.sleep(600)")
    nursery.start_soon(command.run, context, task())
    assert await stdout_of(context) == "under way\n"
    nursery.cancel_scope.cancel()


async def test_a_cancel_leaves_nobody_of_a_family_that_ignores_sigterm(lab: Lab, context: Context) -> None:
    command = lab.python(STUBBORN_FAMILY, kill_after=0.2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(command.run, context, task())
        group = int(await stdout_of(context))
        assert not group_is_gone(group)
        nursery.cancel_scope.cancel()
    assert group_is_gone(group)


async def test_a_timeout_does_not_either(lab: Lab, context: Context) -> None:
    command = lab.python(STUBBORN_FAMILY, kill_after=0.1)
    with trio.move_on_after(0.5) as timeout:
        await command.run(context, task())
    assert timeout.cancelled_caught
    assert group_is_gone(int(context.output.snapshot().stdout))


async def test_a_command_may_clean_up_at_sigterm(lab: Lab, context: Context) -> None:
    program = """
import signal, sys, time
def clean_up(*_):
    print("cleaned up", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, clean_up)
print("ready", flush=True)
time.sleep(600)
"""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lab.python(program).run, context, task())
        await stdout_of(context)
        nursery.cancel_scope.cancel()
    assert context.output.snapshot().stdout == "ready\ncleaned up\n"


async def test_what_a_leader_leaves_behind_is_ended_before_the_run_is_over(lab: Lab, context: Context) -> None:
    with trio.fail_after(10):
        await lab.python(LEAVES_A_CHILD).run(context, task())
    assert group_is_gone(int(context.output.snapshot().stdout))


def test_the_schema_says_what_a_command_takes(lab: Lab) -> None:
    schema = lab.make(command=["pg_dump", "--", "{db}"], stdin=True).params_schema
    assert schema["required"] == ["db", "stdin"]
    assert schema["additionalProperties"] is False
