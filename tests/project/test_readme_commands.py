"""The README's commands, files and programs do what is said of them."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from pexecutor.config import load_config

from ..stores.valkey.server import valkey_server
from .conftest import PROJECT, Launch
from .markdown import Block
from .readme import (
    ON_MANY_MACHINES,
    PROGRAMS,
    SET_UP_AND_RUN,
    TEST,
    UNDER_HYPERCORN,
    WITH_FLAGS,
    in_language,
    shown_after,
)


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


def test_run_on_many_machines(launch: Launch, tmp_path: Path) -> None:
    with valkey_server(tmp_path) as shared:
        command = ON_MANY_MACHINES.text.replace("valkey://queue.example.com:6379/0", shared.url)
        nodes = [launch([*shlex.split(command), "--port", "0"]) for _ in range(2)]

        assert [node.stop()[0] for node in nodes] == [0, 0]


def test_run_under_hypercorn(launch: Launch) -> None:
    server = launch(shlex.split(UNDER_HYPERCORN.text.replace(":8080", ":0")))

    assert server.stop()[0] == 0


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
