"""Shell completion: the words that TAB offers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ..server.process import ServerProcess
from .conftest import SECONDS_MAX, Run

BASH = """
eval "$(_PEXECUTOR_COMPLETE=bash_source pexecutor)"
COMP_WORDS=(pexecutor "$@")
COMP_CWORD=$#
_pexecutor_completion pexecutor
printf '%s\\n' "${COMPREPLY[@]}"
"""


def offered(*words: str, url: str) -> list[str]:
    """Return the words that bash offers to complete the last of these words."""
    environment = os.environ | {"PEXECUTOR_URL": url, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    ran = subprocess.run(
        ["bash", "-c", BASH, "bash", *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=True,
    )
    assert ran.stderr == ""
    return ran.stdout.split()


def test_commands(server: ServerProcess) -> None:
    assert {"serve", "submit", "list", "watch"} <= set(offered("", url=server.url))
    assert offered("ca", url=server.url) == ["cancel"]


def test_options_and_choices(server: ServerProcess) -> None:
    assert offered("submit", "a", "--prio", url=server.url) == ["--priority"]
    assert offered("list", "--state", "r", url=server.url) == ["running"]
    assert offered("--pool", url=server.url) == ["--pool-size"], "of serving, as there is no command"


def test_handlers(server: ServerProcess) -> None:
    assert offered("submit", "a", "--handler", "s", url=server.url) == ["sleep", "speak", "steps"]


def test_tasks_by_name_and_by_id(server: ServerProcess, run: Run) -> None:
    task_id = run("submit", "nightly", "--delay", "1h").fields[0][0]
    other_id = run("submit", "night watch", "--delay", "1h").fields[0][0]
    assert offered("show", "night", url=server.url) == ["nightly"], "a name of two words is not offered"
    assert {task_id, other_id} <= set(offered("cancel", "nightly", task_id[:6], url=server.url))


def test_schedules(server: ServerProcess, run: Run) -> None:
    run("schedule", "set", "weekly", "--every", "7d")
    run("schedule", "set", "week end", "--every", "7d")
    assert offered("schedule", "show", "wee", url=server.url) == ["weekly"], "a name of two words is not offered"
    assert "pause" in offered("schedule", "", url=server.url)


def test_the_url_on_the_line_is_asked(server: ServerProcess) -> None:
    words = ["submit", "a", "--url", server.url, "--handler", "fa"]
    assert offered(*words, url="http://127.0.0.1:1") == ["fails"]


def test_without_a_server_nothing_is_offered_and_nothing_said(server: ServerProcess) -> None:
    assert offered("show", "", url="http://127.0.0.1:1") == []
    assert offered("show", "", url="nonsense") == []
    assert offered("show", "", url=os.fsdecode(b"http://caf\xe9")) == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_its_source(run: Run, shell: str) -> None:
    result = run(_PEXECUTOR_COMPLETE=f"{shell}_source")
    assert (result.status, result.err) == (0, "")
    assert f"_PEXECUTOR_COMPLETE={shell}_complete" in result.out
