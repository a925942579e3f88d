"""Run a contestant that is a separate program: it runs in its own interpreter, prints its run as JSON and exits."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import msgspec

from .results import BENCH, Run

RUN_SECONDS_MAX: Final = 120
PROJECT: Final = BENCH.parent


def run_program(command: list[str | Path]) -> Run:
    """Run a program to its end and return the run that it prints.

    Raises:
        SystemExit: the program printed no run or took too long. The message contains the program's output, if any.
    """
    try:
        done = subprocess.run(
            command, cwd=PROJECT, stdin=subprocess.DEVNULL, capture_output=True, timeout=RUN_SECONDS_MAX, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise SystemExit(f"{' '.join(map(str, command))} did not end within {RUN_SECONDS_MAX} s") from error
    try:
        return msgspec.json.decode(done.stdout.splitlines()[-1], type=Run)
    except (IndexError, msgspec.DecodeError) as error:
        output = (done.stdout + done.stderr).decode(errors="replace")
        raise SystemExit(
            f"{' '.join(map(str, command))} printed no run; exit status {done.returncode}, output: {output}"
        ) from error


def run_module(module: str, *arguments: str) -> Run:
    """Run one of the benchmark's own modules as a program."""
    return run_program([sys.executable, "-m", module, *arguments])
