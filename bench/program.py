"""A contestant that is a program: started by its own interpreter, it prints its run as JSON and ends."""

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
    """Run it to its end.

    Raises:
        SystemExit: it failed, printed no run, or took too long; what it said is shown.
    """
    try:
        done = subprocess.run(
            command, cwd=PROJECT, stdin=subprocess.DEVNULL, capture_output=True, timeout=RUN_SECONDS_MAX, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise SystemExit(f"{' '.join(map(str, command))} did not end in {RUN_SECONDS_MAX} s") from error
    try:
        return msgspec.json.decode(done.stdout.splitlines()[-1], type=Run)
    except (IndexError, msgspec.DecodeError) as error:
        said = (done.stdout + done.stderr).decode(errors="replace")
        raise SystemExit(f"{' '.join(map(str, command))} ended with {done.returncode}: {said}") from error


def run_module(module: str, *arguments: str) -> Run:
    """Run one of our own programs."""
    return run_program([sys.executable, "-m", module, *arguments])
