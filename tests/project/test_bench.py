"""The benchmark runs; how fast anything is, no test says."""

from __future__ import annotations

import re
import subprocess
import sys

from .conftest import PROJECT, clean_environment


def test_it_measures_and_compares() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "bench.http_batches", "--batches", "1", "--rounds", "2"],
        cwd=PROJECT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert (run.returncode, run.stderr) == (0, "")
    assert re.findall(r"^(\w+) .* ratio \d", run.stdout, re.MULTILINE) == ["accepted", "finished"]
