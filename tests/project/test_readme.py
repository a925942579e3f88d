"""The README is short, its links work, and its commands and sessions give the output that it shows."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from .conftest import PROJECT, Launch, clean_environment
from .markdown import Block
from .page import README
from .session import Session

LINES_MAX: Final = 200

FIRST_LINES: Final = 80

RUN, WITH_SETTINGS, UNDER_HYPERCORN, TEST, WHEEL, WITH_FLAGS = README.find("sh")

OWN_COMMAND = "A command of your own"
ORIGINAL = "The original's flags and requests"


def test_every_block_is_looked_at() -> None:
    assert {block.language for block in README.blocks} == {"sh", "toml", "console", "python"}
    assert [block.heading for block in README.find("console")] == [OWN_COMMAND, OWN_COMMAND, ORIGINAL]


def test_it_is_short() -> None:
    assert len(README.text.splitlines()) <= LINES_MAX


@pytest.mark.parametrize(
    "shown", ["pip install .", ".venv/bin/pexecutor\n", "hypercorn -k trio", "curl ", "`nox`"], ids=str.strip
)
def test_it_shows_the_essentials_first(shown: str) -> None:
    first = "".join(README.text.splitlines(keepends=True)[:FIRST_LINES])

    assert shown in first


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)]+)\)", README.text))))
def test_its_links_lead_somewhere(target: str) -> None:
    path = target.partition("#")[0]

    assert target.startswith("https://") or (PROJECT / path).exists()


def copy_project(folder: Path) -> None:
    """Copy the files that an installation is built from."""
    for name in ["pexecutor", "pyproject.toml", "README.md", "LICENSE"]:
        copy = shutil.copytree if (PROJECT / name).is_dir() else shutil.copy
        copy(PROJECT / name, folder / name)


@pytest.mark.parametrize("block", [RUN, WHEEL], ids=["checkout", "wheel"])
def test_an_installation(block: Block, launch: Launch, tmp_path: Path) -> None:
    copy_project(tmp_path)
    set_up, run = block.text.strip().rsplit(" && ", 1)

    server = launch(["bash", "-c", f"{set_up} && exec {run}"], tmp_path, PEXECUTOR_PORT="0")

    assert server.stop()[0] == 0


def test_ci_runs_the_tests_with_the_same_line() -> None:
    ci = (PROJECT / ".ci" / "run").read_text(encoding="utf-8")

    assert TEST.text.strip() in [line.strip() for line in ci.splitlines()]
    assert TEST.text.strip().endswith("&& .venv/bin/pytest")


def test_a_command_of_your_own(launch: Launch, tmp_path: Path) -> None:
    (tmp_path / "pexecutor.toml").write_text(README.only("toml", OWN_COMMAND).text, encoding="utf-8")
    server = launch([*shlex.split(WITH_SETTINGS.text), "--port", "0"], tmp_path)

    Session(server, tmp_path).play(README.find("console", OWN_COMMAND))

    program = [sys.executable, "-W", "error", "-c", README.only("python", OWN_COMMAND).text]
    variables = {**clean_environment(), "PEXECUTOR_URL": server.announced}
    ran = subprocess.run(program, env=variables, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.stdout, ran.stderr) == ("succeeded\n", "")
    assert server.stop()[0] == 0


def test_the_originals_flags_and_requests(launch: Launch, tmp_path: Path) -> None:
    server = launch([*shlex.split(WITH_FLAGS.text), "--port", "0", "--drain-timeout", "0", "--log-format", "json"])

    Session(server, tmp_path).play(README.find("console", ORIGINAL))

    status, log = server.stop()
    assert status == 0
    assert '"pool_size": 5' in log
    assert '"queue_size": 1000' in log


def test_under_hypercorn(launch: Launch) -> None:
    server = launch(shlex.split(UNDER_HYPERCORN.text.replace(":8080", ":0")))

    assert server.stop()[0] == 0
