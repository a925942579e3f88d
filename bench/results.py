"""Saved results: every run of every contestant as it was measured, and the machine.

The files in ``results/`` contain raw measurements only; everything else is computed from them. A figure is reported as
its median and its extremes over the rounds. A ratio is computed within each round and then reported in the same way.
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
        sent: the number of tasks that the contestant was given.
        ran: the number of tasks that ran, as counted by the jobs or by the server.
        figures: the measured values by the figure's name.
    """

    sent: int
    ran: int
    figures: dict[str, float]


class Entry(msgspec.Struct, frozen=True):
    """A run with its contestant and its round."""

    contestant: str
    round: int
    run: Run


class Result(msgspec.Struct, frozen=True):
    """All measurements of one part.

    Parameters:
        part: the part's name.
        rounds: the number of rounds, without the warm-up.
        began_at: the time of the start, in UTC.
        machine: the machine, and the versions of the software.
        skipped: the reason for each contestant that was skipped.
        entries: the runs in the order of their execution.
    """

    part: str
    rounds: int
    began_at: str
    machine: dict[str, str]
    skipped: dict[str, str]
    entries: list[Entry]

    def contestants(self) -> list[str]:
        """Return the contestants' names in the order of the first round."""
        return list(dict.fromkeys(entry.contestant for entry in self.entries))

    def values(self, contestant: str, figure: str) -> list[float]:
        """Return a contestant's figure for each round, or an empty list if it was not measured."""
        return [
            entry.run.figures[figure]
            for entry in self.entries
            if entry.contestant == contestant and figure in entry.run.figures
        ]

    def ratios(self, of: str, figure: str, against: Sequence[tuple[str, str]], *, least: bool) -> list[float]:
        """Divide a figure by the best of others in the same round; return the ratio for each round.

        The best is the highest value, or the lowest if `least` is set.
        """
        best = min if least else max
        others = [values for other in against if (values := self.values(*other))]
        if not others:
            return []
        return [value / best(compared) for value, *compared in zip(self.values(of, figure), *others, strict=True)]


class Spread(NamedTuple):
    """The median and the extremes of a figure."""

    median: float
    lowest: float
    highest: float


def spread(values: Iterable[float]) -> Spread:
    """Return the median and the extremes of at least one value."""
    ordered = sorted(values)
    return Spread(statistics.median(ordered), ordered[0], ordered[-1])


def save(result: Result, folder: Path = RESULTS) -> None:
    """Write a result; it replaces the part's earlier result."""
    text = msgspec.json.format(msgspec.json.encode(result), indent=1)
    (folder / f"{result.part}.json").write_bytes(text + b"\n")


def load(part: str, folder: Path = RESULTS) -> Result | None:
    """Return the saved result of a part, or ``None``."""
    file = folder / f"{part}.json"
    return msgspec.json.decode(file.read_bytes(), type=Result) if file.exists() else None
