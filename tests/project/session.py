"""Run the sessions of a page against a real server, and compare each output with the page."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from .conftest import ServerProcess, clean_environment
from .markdown import Block, Step, normal, steps

COMMAND_SECONDS_MAX = 120
LOOKS_MAX = 100
LOOK_SECONDS = 0.1

_CHANGES_SOMETHING = re.compile(r" -(d|X|T) |pexecutor (submit|cancel|drain)|mkdir")


class Session:
    """A shell that runs a page's session, and the server that the session uses.

    A page writes the server's port as 8080, and ids with any six hexadecimal digits at the start. Both are replaced by
    those of the server.

    Parameters:
        server: the server behind port 8080.
        home: the working directory of all commands.
        variables: additional environment variables.
    """

    def __init__(self, server: ServerProcess, home: Path, **variables: str) -> None:
        self._server = server
        self._home = home
        url = f"http://127.0.0.1:{server.port}"
        self._environment = clean_environment() | {"PEXECUTOR_URL": url} | variables
        self._tag: str | None = None

    def play(self, blocks: Iterable[Block]) -> None:
        """Run each command of ``console`` blocks, in order, and compare its output."""
        for block in blocks:
            for step in steps(block):
                self.check(step, block)

    def check(self, step: Step, where: Block) -> None:
        """Run one command and compare its output. Repeat a command that only reads until its output matches."""
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
        output = run_in_bash(command, self._environment, self._home)
        if (given := re.search(r'"id":"([0-9a-f]{6})-', output)) is not None:
            self._tag = given[1]
        return output


def run_in_bash(script: str, environment: Mapping[str, str], folder: Path) -> str:
    """Run a script that must succeed; return its output on both streams."""
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=COMMAND_SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, f"{script}: exit status {done.returncode}\n{done.stdout}"
    return done.stdout
