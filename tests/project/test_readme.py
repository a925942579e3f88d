"""The README's sessions are done, with a real server, and every answer comes out as it is shown."""

from __future__ import annotations

import re
import shlex
import subprocess
import time
from pathlib import Path

import pytest

from .conftest import Launch, ServerProcess, clean_environment
from .markdown import Block, Step, normal, steps
from .readme import BLOCKS, MODULES, PROGRAMS, WITH_HANDLERS, in_language, shown_after

COMMAND_SECONDS_MAX = 120
LOOKS_MAX = 100
LOOK_SECONDS = 0.1

_CHANGES_SOMETHING = re.compile(r" -(d|X|T) |pexecutor (submit|cancel|drain)|mkdir")


def test_nothing_is_shown_that_no_test_looks_at() -> None:
    assert {block.language for block in BLOCKS} == {"sh", "console", "toml", "python", "text"}
    assert {block.heading for block in in_language("console")} == {
        "A session",
        "Real work",
        "From the command line",
        "What is kept",
        "Access",
    }
    assert {block.heading for block in MODULES} == {"Real work"}
    assert len(in_language("text")) == len(PROGRAMS) + 1, "one for each program, one for the log of the stop"


class Session:
    """A shell in which the README's session goes on, and the server that it talks to."""

    def __init__(self, server: ServerProcess, home: Path, **variables: str) -> None:
        self._server = server
        self._home = home
        url = f"http://127.0.0.1:{server.port}"
        self._environment = clean_environment() | {"PEXECUTOR_URL": url} | variables
        self._tag: str | None = None

    def check(self, step: Step, where: Block) -> None:
        """Do it, and compare; a command that only looks may look again until it sees what is shown."""
        output = first = self._run(step.command)
        looks_left = 0 if _CHANGES_SOMETHING.search(step.command) else LOOKS_MAX
        while normal(output) != normal(step.shown):
            assert looks_left, (
                f"{where}: {step.command}\nwas answered {normal(first)}\nand not     {normal(step.shown)}"
            )
            time.sleep(LOOK_SECONDS)
            output = self._run(step.command)
            looks_left -= 1

    def _run(self, command: str) -> str:
        command = command.replace(":8080", f":{self._server.port}")
        if self._tag is not None:
            command = re.sub(r"/[0-9a-f]{6}-", f"/{self._tag}-", command)
        output = subprocess.run(
            ["bash", "-c", command],
            cwd=self._home,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=True,
        ).stdout
        if (given := re.search(r'"id":"([0-9a-f]{6})-', output)) is not None:
            self._tag = given[1]
        return output


def play(server: ServerProcess, home: Path, heading: str, **variables: str) -> Block:
    """Do what is shown under a heading, with these variables in the environment; the last block of it."""
    session = Session(server, home, **variables)
    shown = [block for block in in_language("console") if block.heading == heading]
    for block in shown:
        for step in steps(block):
            session.check(step, block)
    return shown[-1]


def test_a_session(server: ServerProcess, tmp_path: Path) -> None:
    last = play(server, tmp_path, "A session")

    status, log = server.end()

    assert status == 0
    assert normal(shown_after(last)) == normal(log.splitlines()[-1])


@pytest.fixture
def working(launch: Launch, tmp_path: Path) -> ServerProcess:
    """The server of "Real work"."""
    [settings] = [block for block in in_language("toml") if block.heading == "Real work"]
    [module] = MODULES
    (tmp_path / "pexecutor.toml").write_text(settings.text, encoding="utf-8")
    (tmp_path / "work.py").write_text(module.text, encoding="utf-8")
    return launch(["bash", "-c", WITH_HANDLERS.text], tmp_path, PEXECUTOR_PORT="0")


def test_real_work(working: ServerProcess, tmp_path: Path) -> None:
    play(working, tmp_path, "Real work")

    assert working.stop()[0] == 0


def test_from_the_command_line(working: ServerProcess, tmp_path: Path) -> None:
    play(working, tmp_path, "From the command line")

    assert working.end()[0] == 0


def test_access(launch: Launch, tmp_path: Path) -> None:
    [new_token, *_] = [step for block in in_language("console") if block.heading == "Access" for step in steps(block)]
    made = subprocess.run(
        shlex.split(new_token.command),
        env=clean_environment(),
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=True,
    )
    token, _, lines = made.stdout.partition("\n")
    (tmp_path / "pexecutor.toml").write_text(lines, encoding="utf-8")
    server = launch(["pexecutor", "--port", "0", "--config", "pexecutor.toml"], tmp_path)

    play(server, tmp_path, "Access", TOKEN=token)


def test_what_is_kept(server: ServerProcess, tmp_path: Path) -> None:
    play(server, tmp_path, "What is kept")

    assert server.stop()[0] == 0
