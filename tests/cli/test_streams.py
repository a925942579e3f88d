"""Tests of each command with failing streams, in a limited terminal, and with bytes that are not text.

Each command prints one line and exits with a defined status.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from pexecutor.cli.exit_status import Exit

from ..server.process import ServerProcess
from .conftest import SECONDS_MAX
from .terminal import in_terminal

LATIN_1: Final = b"caf\xe9"
UTF_8: Final = "café".encode()

COMMANDS: Final = {
    "submit": ["submit", "new-{n}", "--delay", "1h"],
    "submit -": ["submit", "-"],
    "list": ["list"],
    "list --json": ["list", "--json"],
    "show": ["show", "café"],
    "logs": ["logs", "printed"],
    "cancel": ["cancel", "to-cancel-{n}"],
    "handlers": ["handlers"],
    "watch --json": ["watch", "--json"],
    "db check": ["db", "check"],
    "db export": ["db", "export"],
    "token new": ["token", "new", "ci", "--scope", "read"],
    "--help": ["--help"],
}
"""Every command that prints something, and then ends or runs until it cannot print. Each use fills another ``{n}``."""

ENDLESS: Final = {"watch --json"}

BROKEN_OUTPUTS: Final = {
    ">/dev/full": (Exit.TROUBLE, b"pexecutor: cannot write the output: No space left on device\n"),
    ">&-": (Exit.TROUBLE, b"pexecutor: cannot write the output: Bad file descriptor\n"),
    "|": (Exit.OUTPUT_CLOSED, b""),
}

BROKEN_ERRORS: Final = ("2>/dev/full", "2>&-", "2>&- >&-", "2>/dev/full >/dev/full")

POOR_TERMINALS: Final = {
    "the locale C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "ASCII": {"PYTHONIOENCODING": "ascii"},
    "strict ASCII": {"PYTHONIOENCODING": "ascii:strict"},
    "Latin-1": {"PYTHONIOENCODING": "latin-1"},
}

NOT_TEXT: Final[dict[str, list[str | bytes]]] = {
    "a name": ["submit", LATIN_1],
    "a param": ["submit", "a", b"x=" + LATIN_1],
    "the key of a param": ["submit", "a", LATIN_1 + b"=1"],
    "params": ["submit", "a", "--params", b'{"x":"%b"}' % LATIN_1],
    "a handler": ["submit", "a", "--handler", LATIN_1],
    "a time span": ["submit", "a", "--delay", LATIN_1],
    "a time": ["submit", "a", "--run-at", LATIN_1],
    "a number": ["submit", "a", "--priority", LATIN_1],
    "a trace": ["submit", "a", "--traceparent", LATIN_1],
    "a listed name": ["list", "--name", LATIN_1],
    "a state": ["list", "--state", LATIN_1],
    "a shown task": ["show", LATIN_1],
    "a task with logs": ["logs", LATIN_1],
    "one of the cancelled": ["cancel", "a", LATIN_1],
    "the URL": ["list", "--url", b"http://" + LATIN_1],
    "the token": ["list", "--token", LATIN_1],
    "a token's name": ["token", "new", LATIN_1, "--scope", "read"],
    "a command": [LATIN_1],
    "an option": ["list", b"--" + LATIN_1],
    "a store": ["conformance", "--store", LATIN_1],
    "a store to move from": ["move", "--from", LATIN_1, "--to", "sqlite"],
    "a queue": ["move", "--from", "sqlite", "--to", "valkey://127.0.0.1:1/0", "--queue", LATIN_1],
    "a host": ["--port", "0", "--store", "memory", "--host", LATIN_1],
    "a level": ["--port", "0", "--store", "memory", "--log-level", LATIN_1],
}

OF_DEVELOPERS: Final = frozenset({"PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"})
"""Environment variables that change a command's output or slow down its start."""

_numbers = count()


class Ended(NamedTuple):
    """The exit status of a command, and the bytes that it wrote."""

    status: int
    out: bytes
    err: bytes


@pytest.fixture(scope="module")
def database(server: ServerProcess) -> str:
    """The directory of the server's file, after something exists for each command to print."""
    speak = {"handler": "speak", "params": {"code": "import sys; sys.stdout.buffer.write('café'.encode())"}}
    server.client.post("/tasks", json={"name": "café", "delay": 3_600_000}).raise_for_status()
    printed = server.client.post("/tasks", json={"name": "printed", **speak}).raise_for_status().json()["id"]
    assert server.client.get(f"/tasks/{printed}?wait=20").json()["outcome"] == "succeeded"
    return server.data_directory


@pytest.fixture
def shell(server: ServerProcess, database: str) -> Any:
    """Run the command line in a shell that redirects its streams. The reader behind ``|`` has exited."""

    def run(arguments: Sequence[str | bytes], redirection: str = "", stdin: bytes = b"", **variables: str) -> Ended:
        number = str(next(_numbers))
        if "cancel" in arguments:
            task = {"name": f"to-cancel-{number}", "delay": 3_600_000}
            server.client.post("/tasks", json=task).raise_for_status()
        words = [word.replace("{n}", number) if isinstance(word, str) else word for word in arguments]
        unread, stdout = os.pipe()
        if redirection == "|":
            os.close(unread)
        try:
            ran = subprocess.run(
                ["bash", "-c", f'"$0" -m pexecutor "$@" {redirection.strip("|")}', sys.executable, *words],
                env=_environment(server, database) | variables,
                input=stdin,
                stdout=stdout if redirection == "|" else subprocess.PIPE,
                stderr=subprocess.PIPE,
                timeout=SECONDS_MAX,
                check=False,
            )
        finally:
            os.close(stdout)
            if redirection != "|":
                os.close(unread)
        return Ended(ran.returncode, ran.stdout or b"", ran.stderr)

    return run


def _environment(server: ServerProcess, database: str) -> dict[str, str]:
    ours = {"PEXECUTOR_URL": server.url, "PEXECUTOR_DATA_DIR": database, "PYTHONWARNINGS": "error"}
    theirs = {name: value for name, value in os.environ.items() if name not in OF_DEVELOPERS}
    return theirs | ours


@pytest.mark.parametrize("redirection", BROKEN_OUTPUTS)
@pytest.mark.parametrize("command", COMMANDS)
def test_an_output_that_fails_is_one_line_and_a_status(shell: Any, command: str, redirection: str) -> None:
    status, said = BROKEN_OUTPUTS[redirection]

    assert shell(COMMANDS[command], redirection) == (status, b"", said)


@pytest.mark.parametrize("redirection", BROKEN_ERRORS)
def test_where_errors_cannot_be_printed_the_status_is_left(shell: Any, redirection: str) -> None:
    out = shell(["show", "nobody"], redirection)
    assert (out.status, out.err) == (Exit.NOT_FOUND, b"")
    lost = shell(["cancel", "nobody", "to-cancel-{n}"], redirection.partition(" ")[0])
    assert (lost.status, lost.out.count(b"\n"), lost.err) == (Exit.NOT_FOUND, 1, b"")
    assert shell(["db", "export"], redirection.partition(" ")[0]).status == Exit.DONE


@pytest.mark.parametrize("command", ["list", "db export"])
def test_a_command_that_says_nothing_on_a_stream_can_do_without(shell: Any, command: str) -> None:
    there = shell(COMMANDS[command])
    without = shell(COMMANDS[command], "2>&- <&-")
    assert (without.status, without.out) == (Exit.DONE, there.out)


@pytest.mark.parametrize("poor", POOR_TERMINALS)
@pytest.mark.parametrize("command", ["submit", "list", "show", "logs"])
def test_a_poor_terminal_gets_escapes(shell: Any, command: str, poor: str) -> None:
    words = [word.replace("new-", "café-€-") for word in COMMANDS[command]]

    ended = shell(words, **POOR_TERMINALS[poor])

    assert (ended.status, b"Traceback" in ended.err) == (Exit.DONE, False)
    if command != "logs":
        assert re.search(rb"caf\xe9" if poor == "Latin-1" else rb"caf(\xc3\xa9|\\xe9)", ended.out)


def test_an_argument_is_utf_8_whatever_the_locale_is(shell: Any, server: ServerProcess) -> None:
    locale = POOR_TERMINALS["the locale C"]
    submitted = shell(["submit", "Grüße", "--handler", "takes", "text=ä", "--json"], **locale)
    assert '"name":"Grüße"'.encode() in submitted.out
    assert '"text":"ä"'.encode() in submitted.out
    assert shell(["list", "--name", "Grüße", "--json"], **locale).out.count(b"\n") == 1
    assert shell(["show", "Grüße"], **locale).status == Exit.DONE


@pytest.mark.parametrize("what", NOT_TEXT)
def test_what_is_not_text_is_refused_in_one_line(shell: Any, what: str) -> None:
    ended = shell(NOT_TEXT[what])

    assert (ended.status, ended.out) == (Exit.USAGE, b"")
    assert (ended.err.count(b"\n"), ended.err.startswith(b"pexecutor: ")) == (1, True)


def test_a_token_that_is_not_text_is_not_repeated(shell: Any) -> None:
    ended = shell(["list"], PEXECUTOR_TOKEN=os.fsdecode(b"secret\xe9"))
    assert (ended.status, b"secret" in ended.err) == (Exit.USAGE, False)


def test_a_file_may_have_any_name(shell: Any, tmp_path: Path) -> None:
    file = os.fsencode(tmp_path) + b"/" + LATIN_1
    Path(os.fsdecode(file)).write_bytes(b'{"text": "in the file"}')
    assert shell(["submit", "from-{n}", "--handler", "takes", "--params", b"@" + file]).status == Exit.DONE
    assert shell(["submit", "from-{n}", "--handler", "takes", b"text=@" + file]).status == Exit.DONE
    assert shell(["db", "export", file]).status == Exit.DONE
    missing = shell(["submit", "from-{n}", b"text=@" + file + b".txt"])
    assert (missing.status, missing.err.count(b"\n")) == (Exit.USAGE, 1)


@pytest.mark.parametrize(
    ("arguments", "redirection", "stdin", "status", "said"),
    [
        (["submit", "-"], "<&-", b"", Exit.TROUBLE, "cannot read standard input: Bad file descriptor"),
        (["submit", "-"], "", b'{"name":"caf\xe9"}\n', Exit.USAGE, "the body is not UTF-8"),
        (["submit", "a", "--params", "-"], "<&-", b"", Exit.USAGE, "cannot read standard input: Bad file descriptor"),
        (["submit", "a", "--params", "-"], "", b'{"x":"caf\xe9"}', Exit.USAGE, "standard input is not UTF-8"),
        (["submit", "a", "x=@-"], "", LATIN_1, Exit.USAGE, "standard input is not UTF-8"),
        (["submit", "a", "x=@-"], "</dev/zero", b"", Exit.USAGE, "is longer than"),
        (["submit", "a", "x=@/"], "", b"", Exit.USAGE, "cannot read /: Is a directory"),
        (["submit", "a", "--params", "-"], "", b"[" * 100_000, Exit.USAGE, "--params must be a JSON object"),
        (["db", "export", "/dev/full"], "", b"", Exit.TROUBLE, "cannot write the output: No space left on device"),
        (["db", "export", "/nowhere/file"], "", b"", Exit.TROUBLE, "No such file or directory"),
        (["db", "backup", "/nowhere/file"], "", b"", Exit.TROUBLE, "/nowhere/file"),
    ],
)
def test_what_cannot_be_read_or_written_is_named(
    shell: Any, arguments: list[str], redirection: str, stdin: bytes, status: int, said: str
) -> None:
    ended = shell(arguments, redirection, stdin)
    assert (ended.status, ended.out) == (status, b"")
    lines = ended.err.decode().splitlines()
    assert said in " ".join(lines)
    assert all("Traceback" not in line for line in lines)


def test_a_completion_that_cannot_be_printed(shell: Any) -> None:
    ended = shell([], ">/dev/full", _PEXECUTOR_COMPLETE="bash_source")
    assert (ended.status, ended.err.count(b"\n")) == (Exit.TROUBLE, 1)


HOSTILE: Final = "blink\x1b[5m clear\x1b[2J\x1b]0;title\x07 back\x08\r csi\u009b2J right to left\u202e end"


@pytest.mark.parametrize("arguments", [["list"], ["show", "hostile"], ["show", "hostile", "--json"], ["watch"]])
def test_what_a_task_says_is_no_command_to_a_terminal(server: ServerProcess, arguments: list[str]) -> None:
    task = {"name": "hostile", "on_conflict": "join", "handler": "fails", "params": {"why": HOSTILE}}
    submitted = server.client.post("/tasks", json=task).raise_for_status().json()["id"]
    server.client.get(f"/tasks/{submitted}?wait=20")

    with in_terminal(*arguments, columns=1000, PEXECUTOR_URL=server.url) as (terminal, _):
        terminal.read_until(lambda screen: "end" in screen)
        if arguments == ["watch"]:
            terminal.press(b"q")
        assert terminal.end() == Exit.DONE

    for control in (b"\x1b[5m", b"\x1b[2J\x1b]", b"\x1b]0;", b"\x07", b"\x08", "\x9b".encode(), "\u202e".encode()):
        assert control not in terminal.written


def test_a_terminal_of_ascii_gets_tables(server: ServerProcess, database: str) -> None:
    variables: Any = {"PEXECUTOR_URL": server.url, **POOR_TERMINALS["the locale C"]}
    with in_terminal("list", **variables) as (terminal, _):
        assert terminal.end() == Exit.DONE
    assert r"caf\xe9" in terminal.text()
