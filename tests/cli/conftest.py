"""Fixtures for CLI tests: a server process, and a function that runs the command line against the server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec
import pytest

from pexecutor.cli.main import main

from ..server.conftest import start_server
from ..server.process import ServerProcess

__all__ = ["start_server"]

MODULE = """
import os
from typing import Any, Literal

import trio

from pexecutor import handler

@handler
async def takes(
    context, *, number: int = 1, share: float = 0.5, flag: bool = False, text: str = "", either: int | str = 0,
    maybe: int | None = None, kind: Literal["red", "blue"] = "red", sizes: list[int] = [], more: dict[str, Any] = {},
) -> Any:
    "Returns what it was given."
    return [number, share, flag, text, either, maybe, kind, sizes, more]

@handler
async def steps(context, *, file: str, steps: int) -> str:
    "Takes a step whenever the file gets longer."
    done = 0
    while done < steps:
        length = os.path.getsize(file)
        for done in range(done + 1, min(length, steps) + 1):
            context.progress(done, steps)
            context.log(f"step {done} of {steps}")
        await trio.sleep(0.01)
    return "all done"

@handler
async def fails(context, *, why: str = "because") -> None:
    "Fails."
    context.log("about to fail")
    raise RuntimeError(why)
"""

TOKEN = "a-token-of-ours"

SECONDS_MAX = 30


class Result(NamedTuple):
    """The exit status and the output of a command."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.out)

    @property
    def fields(self) -> list[list[str]]:
        """Return the fields of each line, as `cut` would split them."""
        return [line.split("\t") for line in self.out.splitlines()]


class Run(Protocol):
    def __call__(self, *arguments: str, url: str = ..., **variables: str) -> Result: ...


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with some handlers, shared by all tests of a module. Each module uses its own task names."""
    home = tmp_path_factory.mktemp("server")
    (home / "work.py").write_text(MODULE)
    (home / "settings.toml").write_text(
        f'[handlers.speak]\ncommand = ["{sys.executable}", "-c", "{{code}}"]\ndescription = "runs a program"\n'
        '[schedules.owned]\nevery = 86400000\ntask = {name = "owned"}\n'
    )
    flags = ["-port", "0", "--handlers", str(home / "work.py"), "--config", str(home / "settings.toml")]
    server = ServerProcess(*flags, log=home / "log")
    yield server
    server.close()


@pytest.fixture
def run(server: ServerProcess, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process until it exits."""

    def run_here(*arguments: str, url: str = server.url, **variables: str) -> Result:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["pexecutor", *arguments])
            for variable, value in {"PEXECUTOR_URL": url, **variables}.items():
                patch.setenv(variable, value)
            with pytest.raises(SystemExit) as ended:
                main()
        return Result(int(ended.value.code or 0), *capfd.readouterr())

    return run_here


def run_with_input(server: ServerProcess, data: bytes, *arguments: str) -> Result:
    """Run the command line as a process with this standard input."""
    command = [sys.executable, "-W", "error", "-m", "pexecutor", *arguments, "--url", server.url]
    ran = subprocess.run(command, input=data, capture_output=True, timeout=SECONDS_MAX, check=False)
    return Result(ran.returncode, ran.stdout.decode(), ran.stderr.decode())


@pytest.fixture
def steps_file(tmp_path: Path) -> Path:
    """The file that the handler `steps` watches."""
    file = tmp_path / "steps"
    file.write_text("")
    return file


def take_step(file: Path) -> None:
    with file.open("a") as opened:
        opened.write("+")
