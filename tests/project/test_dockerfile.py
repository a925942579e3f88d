"""Check the Dockerfile, and run its instructions without a container engine, because the test machines have none."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from .conftest import PROJECT, Launch, ServerProcess, clean_environment


def instructions() -> dict[str, list[str]]:
    """Return the arguments of each instruction, by its name."""
    text = (PROJECT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    found = defaultdict(list)
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, arguments = line.partition(" ")
            found[name].append(arguments)
    return found


DOCKERFILE = instructions()


def exec_form(name: str) -> list[str]:
    [arguments] = DOCKERFILE[name]
    words: Any = json.loads(arguments.partition("[")[1] + arguments.partition("[")[2])
    assert all(isinstance(word, str) for word in words)
    return list(words)


def test_it_runs_as_an_unprivileged_user_and_can_be_stopped() -> None:
    [user] = DOCKERFILE["USER"]

    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    assert DOCKERFILE["STOPSIGNAL"] == ["SIGTERM"]


def settings(volume: Path) -> dict[str, str]:
    """The settings of the image, with a volume in the test's folder, on a free port."""
    told = dict(pair.split("=", 1) for pair in DOCKERFILE["ENV"] if pair.startswith("PEXECUTOR_"))
    return told | {"PEXECUTOR_DATA_DIR": str(volume), "PEXECUTOR_PORT": "0"}


def run(volume: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run what ``docker run`` would run with these arguments after the image's name."""
    return subprocess.run(
        [*exec_form("ENTRYPOINT"), *arguments],
        env=clean_environment() | settings(volume),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_does_not_start_open_to_everybody(tmp_path: Path) -> None:
    refused = run(tmp_path)

    assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)
    assert "--host 0.0.0.0 is reachable from other machines" in refused.stderr


def test_its_arguments_are_the_programs(launch: Launch, tmp_path: Path) -> None:
    assert "CMD" not in DOCKERFILE
    assert run(tmp_path, "token", "new", "ci", "--scope", "read").stdout.startswith("pex_")

    server = launch([*exec_form("ENTRYPOINT"), "--allow-anonymous"], **settings(tmp_path))
    assert health_check(server.port) == 0


def test_its_tasks_are_kept_in_a_volume_that_its_user_may_write_to() -> None:
    [directory] = DOCKERFILE["VOLUME"]

    assert f"PEXECUTOR_DATA_DIR={directory}" in DOCKERFILE["ENV"]
    assert f"chown {DOCKERFILE['USER'][0]} {directory}" in DOCKERFILE["RUN"][-1]


def test_it_copies_what_there_is_and_what_is_let_in() -> None:
    let_in = re.findall(r"^!(.*)$", (PROJECT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE)
    sources = [word for copy in DOCKERFILE["COPY"] if not copy.startswith("--from") for word in copy.split()[:-1]]

    assert sorted(let_in) == sorted(sources)
    assert all((PROJECT / source).exists() for source in sources)


def health_check(port: int) -> int:
    [_, *arguments] = exec_form("HEALTHCHECK")
    environment = clean_environment() | {"PEXECUTOR_PORT": str(port)}
    return subprocess.run(
        [sys.executable, *arguments], env=environment, stderr=subprocess.DEVNULL, timeout=60, check=False
    ).returncode


def test_its_health_check_tells_a_living_server_from_a_dead_one(server: ServerProcess) -> None:
    assert health_check(server.port) == 0
    server.stop()
    assert health_check(server.port) != 0
