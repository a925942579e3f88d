"""The benchmarks run; how fast anything is, no test says."""

from __future__ import annotations

import re
import subprocess
import sys

from .conftest import PROJECT, clean_environment


def printed(*arguments: str) -> str:
    run = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=PROJECT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout


def test_batches_are_measured_and_compared() -> None:
    lines = printed("bench.http_batches", "--batches", "1", "--rounds", "2")

    assert re.findall(r"^(\w+) .* ratio \d", lines, re.MULTILINE) == ["accepted", "finished"]


def test_the_start_after_a_crash_is_measured() -> None:
    lines = printed("bench.recovery", "--tasks", "100", "--rounds", "1")

    assert re.search(r"^ +100 pending: serves after \d.* bytes a task, a page of 1000 in \d", lines, re.MULTILINE)
