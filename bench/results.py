"""What a benchmark leaves: every run of every contestant as it was, and the machine that it was on.

Nothing is derived before it is needed, so the files in ``results/`` are what was measured and all else can be made of
them again. A figure is told by its median and its extremes; a ratio is made within each round, and then told likewise.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

BENCH: Final = Path(__file__).parent
RESULTS: Final = BENCH / "results"


class Run(msgspec.Struct, frozen=True):
    """One run of one contestant.

    Parameters:
        sent: how many tasks it was given.
        ran: how many really ran, as counted by what ran them.
        figures: what was measured, by the figure's name.
    """

    sent: int
    ran: int
    figures: dict[str, float]


class Entry(msgspec.Struct, frozen=True):
    """A run, and whose it was in which round."""

    contestant: str
    round: int
    run: Run


class Result(msgspec.Struct, frozen=True):
    """All that was measured of one part.

    Parameters:
        part: its name.
        rounds: how many there were, the warm-up not counted.
        began_at: when, in UTC.
        machine: what it ran on, and the versions of what ran.
        skipped: contestants that were left out, and why.
        entries: the runs, in the order in which they were made.
    """

    part: str
    rounds: int
    began_at: str
    machine: dict[str, str]
    skipped: dict[str, str]
    entries: list[Entry]

    def contestants(self) -> list[str]:
        """Their names, in the order of the first round."""
        return list(dict.fromkeys(entry.contestant for entry in self.entries))

    def values(self, contestant: str, figure: str) -> list[float]:
        """A figure of each round; empty when it was not measured."""
        return [
            entry.run.figures[figure]
            for entry in self.entries
            if entry.contestant == contestant and figure in entry.run.figures
        ]

    def ratios(self, of: str, figure: str, against: Sequence[tuple[str, str]], *, least: bool) -> list[float]:
        """In each round, a figure over the best of others: the highest, or the least where less is better."""
        best = min if least else max
        others = [values for other in against if (values := self.values(*other))]
        if not others:
            return []
        return [value / best(compared) for value, *compared in zip(self.values(of, figure), *others, strict=True)]


class Spread(NamedTuple):
    """The median and the extremes."""

    median: float
    lowest: float
    highest: float


def spread(values: Iterable[float]) -> Spread:
    """Of at least one value."""
    ordered = sorted(values)
    return Spread(statistics.median(ordered), ordered[0], ordered[-1])


def save(result: Result, folder: Path = RESULTS) -> None:
    """Write a result in the place of the one before."""
    text = msgspec.json.format(msgspec.json.encode(result), indent=1)
    (folder / f"{result.part}.json").write_bytes(text + b"\n")


def load(part: str, folder: Path = RESULTS) -> Result | None:
    """Read a result; ``None`` when there is none."""
    file = folder / f"{part}.json"
    return msgspec.json.decode(file.read_bytes(), type=Result) if file.exists() else None
