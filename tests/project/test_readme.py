"""Everything that the README shows is done, against the real thing, and comes out as it is shown."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from pexecutor.config import load_config

from .conftest import PROJECT, Launch, ServerProcess, clean_environment
from .markdown import Block, Step, blocks, normal, steps

README = PROJECT / "README.md"
BLOCKS = blocks(README)

COMMAND_SECONDS_MAX = 120
LOOKS_MAX = 100
LOOK_SECONDS = 0.1


def in_language(language: str) -> list[Block]:
    return [block for block in BLOCKS if block.language == language]


def shown_after(block: Block) -> str:
    """The text that the README shows as what comes of a block."""
    following = BLOCKS[BLOCKS.index(block) + 1]
    assert following.language == "text", f"{block} has no output"
    return following.text


def is_program(block: Block) -> bool:
    """Whether it is shown what a block of Python prints; if not, it is a module of handlers."""
    return block.language == "python" and BLOCKS[BLOCKS.index(block) + 1].language == "text"


PROGRAMS = [block for block in BLOCKS if is_program(block)]


def test_nothing_is_shown_that_no_test_looks_at() -> None:
    assert {block.language for block in BLOCKS} == {"sh", "console", "toml", "python", "text"}
    assert {block.heading for block in in_language("console")} == {"A session", "Real work"}
    assert {block.heading for block in in_language("python") if not is_program(block)} == {"Real work"}
    assert len(in_language("text")) == len(PROGRAMS) + 1, "one for each program, one for the log of the stop"


# The sessions


class Session:
    """A shell in which the README's session goes on, and the server that it talks to."""

    def __init__(self, server: ServerProcess, home: Path) -> None:
        self._server = server
        self._home = home
        self._tag: str | None = None

    def check(self, step: Step, where: Block) -> None:
        """Do it, and compare; a command that only looks may look again until it sees what is shown."""
        output = first = self._run(step.command)
        looks_left = 0 if re.search(r" -(d|X|T) ", step.command) else LOOKS_MAX
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
            env=clean_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=True,
        ).stdout
        if (given := re.search(r'"id":"([0-9a-f]{6})-', output)) is not None:
            self._tag = given[1]
        return output


def play(server: ServerProcess, home: Path, heading: str) -> Block:
    """Do what is shown under a heading; the last block of it."""
    session = Session(server, home)
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


def test_real_work(launch: Launch, tmp_path: Path) -> None:
    [settings] = [block for block in in_language("toml") if block.heading == "Real work"]
    [module] = [block for block in in_language("python") if not is_program(block)]
    (tmp_path / "pexecutor.toml").write_text(settings.text, encoding="utf-8")
    (tmp_path / "work.py").write_text(module.text, encoding="utf-8")
    server = launch(["bash", "-c", REAL_WORK.text], tmp_path, PEXECUTOR_PORT="0")

    play(server, tmp_path, "Real work")

    assert server.stop()[0] == 0


# Commands


SET_UP_AND_RUN, TEST, REAL_WORK, WITH_FLAGS, UNDER_HYPERCORN = in_language("sh")


def test_set_up_and_run(launch: Launch, tmp_path: Path) -> None:
    for name in ["pexecutor", "pyproject.toml", "README.md", "LICENSE"]:
        copy = shutil.copytree if (PROJECT / name).is_dir() else shutil.copy
        copy(PROJECT / name, tmp_path / name)
    set_up, run = SET_UP_AND_RUN.text.strip().rsplit(" && ", 1)

    server = launch(["bash", "-c", f"{set_up} && exec {run}"], tmp_path, PEXECUTOR_PORT="0")

    assert server.stop()[0] == 0


def test_the_tests_are_run_by_ci_with_the_same_line() -> None:
    ci = (PROJECT / ".ci" / "run").read_text(encoding="utf-8")

    assert TEST.text.strip() in [line.strip() for line in ci.splitlines()]
    assert TEST.text.strip().endswith("&& .venv/bin/pytest")


def test_run_with_flags(launch: Launch) -> None:
    server = launch([*shlex.split(WITH_FLAGS.text), "--port", "0"])

    status, log = server.stop()

    assert status == 0
    assert '"pool_size": 8' in log
    assert '"queue_size": 200' in log


def test_run_under_hypercorn(launch: Launch) -> None:
    server = launch(shlex.split(UNDER_HYPERCORN.text.replace(":8080", ":0")))

    assert server.stop()[0] == 0


# Files


@pytest.mark.parametrize("block", in_language("toml"), ids=repr)
def test_settings_file(block: Block, tmp_path: Path) -> None:
    file = tmp_path / "pexecutor.toml"
    file.write_text(block.text, encoding="utf-8")

    config = load_config(file=file, environment={}, flags={})

    for name, value in tomllib.loads(block.text).items():
        assert getattr(config, name) == value


@pytest.mark.parametrize("block", PROGRAMS, ids=repr)
def test_program(block: Block, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(block.text, encoding="utf-8")

    run = subprocess.run(
        [sys.executable, "-W", "error", str(program)], capture_output=True, text=True, timeout=60, check=False
    )

    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout == shown_after(block)
