"""The README's sessions are done, with a real server, and every answer comes out as it is shown."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from .conftest import Launch, ServerProcess, clean_environment
from .markdown import Block, normal, steps
from .page import README
from .readme import BLOCKS, MODULES, PROGRAMS, WITH_HANDLERS, in_language, shown_after
from .session import Session


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


def play(server: ServerProcess, home: Path, heading: str, **variables: str) -> Block:
    """Do what is shown under a heading, with these variables in the environment; the last block of it."""
    shown = README.find("console", heading)
    Session(server, home, **variables).play(shown)
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
