"""Nodes that share a queue, by seed: whatever happens to them, the ways between, and the server, promises are kept."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from .world import NodesWorld


@pytest.mark.parametrize("seeds", [range(start, start + 20) for start in range(0, 120, 20)], ids=lambda seeds: seeds[0])
def test_the_promises_are_kept_whatever_happens(seeds: range) -> None:
    for seed in seeds:
        NodesWorld(seed).run()


def test_a_seed_is_one_run_in_every_process() -> None:
    traces = set()
    for hash_seed in ("1", "2"):
        command = [sys.executable, "-m", "tests.simulation", "--world", "nodes", "--first", "3", "--trace"]
        environment = os.environ | {"PYTHONHASHSEED": hash_seed}
        run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
        traces.add(run.stdout)
    assert len(traces) == 1
    assert traces.pop().count("\n") > 20
