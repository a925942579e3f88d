"""How every part is measured: interleaved rounds, a warm-up that is thrown away, and the count of what really ran.

A part has contestants. In a round each of them runs once, and each round begins with another one, so that whatever else
the machine does at a time falls on all of them, and nobody is always first. A run that was given a number of tasks and
ran another number ends the benchmark: a figure of it would be of something else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

from .machine import describe_machine
from .results import Entry, Result, Run


class Figure(NamedTuple):
    """Something that is measured.

    Parameters:
        title: what it is, for the reader.
        unit: of its values.
        digits: how many behind the point.
    """

    title: str
    unit: str
    digits: int = 0


class Bar(NamedTuple):
    """What a figure has to reach.

    Parameters:
        path: what is held to it.
        of: the contestant.
        figure: which of its figures.
        bar: the value to reach. None means that there is only a goal.
        goal: the value to aim at.
        against: contestants and their figures; the best of them in the same round is what the figure is divided by.
            None means that it stands for itself.
        at_most: whether less is better.
    """

    path: str
    of: str
    figure: str
    bar: float | None
    goal: float | None = None
    against: Sequence[tuple[str, str]] = ()
    at_most: bool = False

    def values(self, result: Result) -> list[float]:
        """What was reached in each round; empty when it was not measured."""
        if not self.against:
            return result.values(self.of, self.figure)
        return result.ratios(self.of, self.figure, self.against, least=self.at_most)

    def reached_by(self, value: float) -> bool:
        """Whether a value holds: at the bar, or at the goal where there is no bar."""
        bound = self.goal if self.bar is None else self.bar
        assert bound is not None, "there is one of the two"
        return value <= bound if self.at_most else value >= bound


class Contestant(NamedTuple):
    """Who runs: a name, and what makes one run."""

    name: str
    run: Callable[[], Run]


class Field(NamedTuple):
    """Who runs in a part, and who does not and why."""

    contestants: Sequence[Contestant]
    skipped: Mapping[str, str] = {}


class Part(NamedTuple):
    """Something to measure.

    Parameters:
        name: what it is called on the command line.
        title: its heading.
        about: what is measured, in a few sentences.
        figures: by name.
        plotted: the figures that the plot shows.
        bars: what has to be reached.
        open: makes the contestants and what they need, for so long; told whether only a smoke run is wanted.
        versions: of what it brings, once it has run.
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
    """Run all the rounds of a part.

    Raises:
        SystemExit: a contestant ran more or less than it was given.
    """
    began_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    entries = []
    with part.open(quick) as field:
        for number in range(rounds + 1):
            for contestant in _turned(field.contestants, number):
                run = contestant.run()
                if run.sent != run.ran:
                    raise SystemExit(f"{contestant.name}: of {run.sent} tasks {run.ran} ran")
                print(f"{part.name} {number or 'warm-up'}: {contestant.name:28} {_shown(part, run)}", flush=True)
                if number:
                    entries.append(Entry(contestant.name, number, run))
        skipped = dict(field.skipped)
    return Result(part.name, rounds, began_at, describe_machine() | part.versions(), skipped, entries)


def _turned(contestants: Sequence[Contestant], by: int) -> Sequence[Contestant]:
    """In their order, but beginning with another one."""
    first = by % len(contestants)
    return [*contestants[first:], *contestants[:first]]


def _shown(part: Part, run: Run) -> str:
    return "  ".join(
        f"{name} {value:,.{part.figures[name].digits}f} {part.figures[name].unit}"
        for name, value in run.figures.items()
    )
