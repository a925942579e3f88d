"""Measure a part: interleaved rounds, a discarded warm-up round, and a check of the number of tasks that ran.

A part has contestants. Each contestant runs once in each round, and each round begins with the next contestant. So
other load on the machine affects all contestants, and none is always the first. If a contestant runs more or fewer
tasks than it was given, the benchmark ends, because its figures would be meaningless.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

from .machine import describe_machine
from .results import Entry, Result, Run


class Figure(NamedTuple):
    """A figure that a part measures.

    Parameters:
        title: the figure's name in the report.
        unit: the unit of the values.
        digits: the number of decimal places.
    """

    title: str
    unit: str
    digits: int = 0


class Bar(NamedTuple):
    """A bar: the value that a figure of a contestant has to reach.

    Parameters:
        path: the description of what is compared with the bar.
        of: the contestant.
        figure: the name of the contestant's figure.
        bar: the value to reach. ``None`` means that there is only a goal.
        goal: the value to aim at.
        against: contestants and their figures. The figure is divided by the best of them in the same round. If empty,
            the figure itself is compared.
        at_most: whether lower values are better.
    """

    path: str
    of: str
    figure: str
    bar: float | None
    goal: float | None = None
    against: Sequence[tuple[str, str]] = ()
    at_most: bool = False

    def values(self, result: Result) -> list[float]:
        """Return the value to compare with the bar for each round, or nothing if the figure was not measured."""
        if not self.against:
            return result.values(self.of, self.figure)
        return result.ratios(self.of, self.figure, self.against, least=self.at_most)

    def reached_by(self, value: float) -> bool:
        """Return whether `value` reaches the bar, or the goal if there is no bar."""
        bound = self.goal if self.bar is None else self.bar
        assert bound is not None, "a Bar needs a bar or a goal"
        return value <= bound if self.at_most else value >= bound


class Contestant(NamedTuple):
    """A contestant: its name, and a function that makes one run."""

    name: str
    run: Callable[[], Run]


class Field(NamedTuple):
    """The contestants of a part, and the reason for each contestant that is skipped."""

    contestants: Sequence[Contestant]
    skipped: Mapping[str, str] = {}


class Part(NamedTuple):
    """A part of the benchmark.

    Parameters:
        name: its name on the command line.
        title: its heading in the report.
        about: a few sentences about what is measured.
        figures: the figures by name.
        plotted: the names of the figures in the plot.
        bars: the bars of the part.
        open: returns a context manager that sets up the contestants and what they need. Its argument is whether this
            is a smoke run.
        versions: returns the versions of the libraries that only this part uses; called after the last round.
    """

    name: str
    title: str
    about: str
    figures: Mapping[str, Figure]
    plotted: Sequence[str]
    bars: Sequence[Bar]
    open: Callable[[bool], AbstractContextManager[Field]]
    versions: Callable[[], dict[str, str]] = dict


def measure(part: Part, rounds: int, *, quick: bool) -> Result:
    """Run all rounds of a part.

    Raises:
        SystemExit: a contestant ran more or fewer tasks than it was given.
    """
    began_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    entries = []
    with part.open(quick) as field:
        for number in range(rounds + 1):
            for contestant in _rotated(field.contestants, number):
                run = contestant.run()
                if run.sent != run.ran:
                    raise SystemExit(f"{contestant.name} was given {run.sent} tasks but ran {run.ran}")
                print(f"{part.name} {number or 'warm-up'}: {contestant.name:28} {_figures_text(part, run)}", flush=True)
                if number:
                    entries.append(Entry(contestant.name, number, run))
        skipped = dict(field.skipped)
    return Result(part.name, rounds, began_at, describe_machine() | part.versions(), skipped, entries)


def _rotated(contestants: Sequence[Contestant], by: int) -> Sequence[Contestant]:
    """Return the contestants in their order, rotated by `by` places."""
    first = by % len(contestants)
    return [*contestants[first:], *contestants[:first]]


def _figures_text(part: Part, run: Run) -> str:
    return "  ".join(
        f"{name} {value:,.{part.figures[name].digits}f} {part.figures[name].unit}"
        for name, value in run.figures.items()
    )
