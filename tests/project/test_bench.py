"""Tests that the benchmark measures as documented and that its report matches the results. No test compares speeds."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from bench.frame import Bar, Contestant, Field, Figure, Part, measure
from bench.parts import NAMES, load_part
from bench.report import report_files, verdict
from bench.results import Entry, Result, Run, load, save

from .conftest import PROJECT, clean_environment


def printed(*arguments: str) -> str:
    run = subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        cwd=PROJECT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout


@pytest.mark.parametrize("part", ["http", "recovery"])
def test_a_part_is_measured_and_held_against_its_bars(part: str) -> None:
    lines = printed(part, "--quick", "--rounds", "1").splitlines()

    for bar in load_part(part).bars:
        [line] = [line for line in lines if line.startswith(bar.path + ":")]
        assert re.search(r": (holds|\*\*misses\*\*)$", line)


def test_the_report_is_what_the_results_give() -> None:
    there = {
        path.relative_to(PROJECT / "bench").as_posix(): path.read_text(encoding="utf-8")
        for path in [PROJECT / "bench" / "README.md", *(PROJECT / "bench" / "plots").iterdir()]
    }

    assert there == report_files()


@pytest.mark.parametrize("name", NAMES)
def test_bars_and_plots_are_about_what_is_measured(name: str) -> None:
    part = load_part(name)

    assert {*part.plotted, *(bar.figure for bar in part.bars)} <= part.figures.keys()
    result = load(name)
    assert result is None or all(bar.values(result) for bar in part.bars)


def part_of(contestants: Sequence[Contestant]) -> Part:
    @contextmanager
    def opened(_quick: bool) -> Iterator[Field]:
        yield Field(contestants)

    return Part("some", "Some", "", {"speed": Figure("Speed", "/s")}, ["speed"], [], opened)


def running(name: str, seen: list[str], speeds: Callable[[], float] = lambda: 1.0) -> Contestant:
    def run() -> Run:
        seen.append(name)
        return Run(1, 1, {"speed": speeds()})

    return Contestant(name, run)


def test_each_round_begins_with_another_one_and_the_warm_up_does_not_count() -> None:
    seen: list[str] = []

    result = measure(part_of([running(name, seen) for name in "abc"]), 2, quick=True)

    assert "".join(seen) == "abc" + "bca" + "cab"
    assert [(entry.contestant, entry.round) for entry in result.entries] == [
        *(("b", 1), ("c", 1), ("a", 1)),
        *(("c", 2), ("a", 2), ("b", 2)),
    ]


def test_the_first_figures_are_thrown_away() -> None:
    speeds = map(float, count())

    result = measure(part_of([running("a", [], partial(next, speeds))]), 2, quick=True)

    assert result.values("a", "speed") == [1.0, 2.0]


@pytest.mark.parametrize("ran", [0, 9, 11])
def test_who_runs_more_or_less_than_it_was_given_ends_the_benchmark(ran: int) -> None:
    liar = Contestant("liar", lambda: Run(10, ran, {"speed": 1e9}))

    with pytest.raises(SystemExit, match=f"liar was given 10 tasks but ran {ran}$"):
        measure(part_of([liar]), 1, quick=True)


def result_of(**speeds: list[float]) -> Result:
    entries = [
        Entry(name, number, Run(1, 1, {"speed": speed}))
        for name, of_rounds in speeds.items()
        for number, speed in enumerate(of_rounds)
    ]
    return Result("some", 3, "2026-01-01T00:00:00Z", {}, {}, entries)


def test_a_ratio_is_made_in_each_round_against_the_best_of_that_round() -> None:
    result = result_of(ours=[100, 100, 50], one=[10, 50, 5], other=[20, 25, 1])
    bar = Bar("ours", "ours", "speed", 5, against=[("one", "speed"), ("other", "speed")])

    assert bar.values(result) == [5, 2, 10]


def test_where_less_is_better_the_best_is_the_least() -> None:
    result = result_of(ours=[10], one=[5], other=[20])
    bar = Bar("ours", "ours", "speed", 5, against=[("one", "speed"), ("other", "speed")], at_most=True)

    assert bar.values(result) == [2]


@pytest.mark.parametrize(
    ("speeds", "said"),
    [
        ([10, 11, 12], "holds"),
        ([9, 11, 12], "holds at the median"),
        ([9, 9, 12], "**misses**"),
    ],
)
def test_a_bar_that_is_missed_is_said_to_be(speeds: list[float], said: str) -> None:
    assert verdict(Bar("ours", "ours", "speed", 10), result_of(ours=speeds)) == said


def test_where_there_is_only_a_goal_nothing_is_missed() -> None:
    bar = Bar("ours", "ours", "speed", None, goal=10)

    assert verdict(bar, result_of(ours=[9])) == "short of the goal"
    assert verdict(bar, result_of(ours=[10])) == "holds"


def test_a_bar_without_figures_holds_for_nobody() -> None:
    assert verdict(Bar("ours", "theirs", "speed", 10), result_of(ours=[1])) == "not measured"


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    result = result_of(ours=[1.5], other=[2.25])

    save(result, tmp_path)

    assert load("some", tmp_path) == result
    assert load("another", tmp_path) is None
