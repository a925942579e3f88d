"""The whole program by seed: whatever happens, and wherever it dies, it keeps its promises."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from .ledger import BrokenInvariantError
from .test_planted import forget_to_journal_a_finish
from .world import World


@pytest.mark.parametrize("seeds", [range(start, start + 20) for start in range(0, 120, 20)], ids=lambda seeds: seeds[0])
def test_the_promises_are_kept_whatever_happens(seeds: range) -> None:
    for seed in seeds:
        World(seed).run()


def test_a_seed_is_one_run() -> None:
    for seed in range(5):
        traces = set()
        for _ in range(3):
            world = World(seed)
            world.run()
            traces.add("\n".join(world.trace))
        assert len(traces) == 1


def test_a_seed_is_one_run_in_every_process() -> None:
    traces = set()
    for hash_seed in ("1", "2"):
        command = [sys.executable, "-m", "tests.simulation", "--first", "9", "--trace"]
        environment = os.environ | {"PYTHONHASHSEED": hash_seed}
        run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True)
        traces.add(run.stdout)
    assert len(traces) == 1
    assert traces.pop().count("\n") > 20


def test_a_seed_that_fails_tells_its_story(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_to_journal_a_finish(monkeypatch)
    stories = []
    for _ in range(2):
        with pytest.raises(BrokenInvariantError, match="what can be read is in the file") as caught:
            World(0).run()
        stories.append((str(caught.value), caught.value.__notes__))
    assert stories[0] == stories[1], "the same seed fails the same way"
    [note] = stories[0][1]
    assert note.startswith("seed 0\n")
    assert "process  starts with 0 records" in note
