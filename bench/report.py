"""Write the report, ``README.md`` and its plots, from the saved results alone: ``python -m bench.report``.

All figures come from the results, and a test checks that the committed files match the results.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from .frame import Bar, Figure, Part
from .parts import NAMES, load_part
from .plot import Panel, draw
from .results import BENCH, RESULTS, Result, load, spread

TIMES: Final = " \N{MULTIPLICATION SIGN}"

HEAD: Final = """\
# Benchmark

`nox -s bench` runs all measurements and generates this page from the raw results in [`results/`](results); no figure
is typed by hand. The run takes a quarter of an hour and needs only `nox`: each library for comparison is installed in
its own environment. PostgreSQL and `wrk` are used if they are installed. `nox -s bench -- shared peers --rounds 5`
measures two parts; `--quick` is a smoke run. [NOTES.md](NOTES.md#method) describes how the benchmark avoids misleading
figures.

Each cell is the median of the rounds, with the lowest and the highest round in brackets. A ratio is computed within
each round, in which every contestant runs once; "A vs. B" is A divided by B. In the table of bars, a figure *holds* if
every round reaches the bar, *holds at the median* if only the median does, and otherwise **misses** the bar.
"""


def report_files(results: Path = RESULTS) -> dict[str, str]:
    """Return the text of each file of the report, by its path below ``bench/``."""
    measured = [(part, result) for part in map(load_part, NAMES) if (result := load(part.name, results)) is not None]
    common = _common([result.machine for _, result in measured])
    sections = [_section(part, result, common) for part, result in measured]
    text = "\n".join([HEAD, f"Machine: {_listed(common)}.\n", *_bars(measured), *sections])
    return {"README.md": text} | {plot_path(part): draw(_panels(part, result)) for part, result in measured}


def write_report() -> None:
    """Write the report's files and remove old plots."""
    for path in (BENCH / "plots").glob("*.svg"):
        path.unlink()
    (BENCH / "plots").mkdir(exist_ok=True)
    for name, text in report_files().items():
        (BENCH / name).write_text(text, encoding="utf-8")


def print_bars(part: Part, result: Result) -> None:
    """Print each bar of a part and whether the measured figure reaches it."""
    for bar in part.bars:
        bound = _bound(part, bar, bar.bar) or "none"
        print(f"{bar.path}: {_reached(part, bar, result)}, bar {bound}: {verdict(bar, result)}")


def plot_path(part: Part) -> str:
    """Return the path of a part's plot below ``bench/``."""
    return f"plots/{part.name}.svg"


def _bars(measured: list[tuple[Part, Result]]) -> Iterator[str]:
    yield "## Bars\n"
    yield "| part | what | bar | goal | measured | |"
    yield "|---|---|---|---|---|---|"
    for part, result in measured:
        for bar in part.bars:
            bounds = [_bound(part, bar, bar.bar), _bound(part, bar, bar.goal)]
            cells = [f"[{part.name}](#{_anchor(part.title)})", bar.path, *bounds]
            yield "| " + " | ".join([*cells, _reached(part, bar, result), verdict(bar, result)]) + " |"
    yield ""


def _common(machines: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return the facts that are identical for all machines."""
    first, *others = machines or [{}]
    return {name: what for name, what in first.items() if all(other.get(name) == what for other in others)}


def _listed(machine: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {what}" for name, what in machine.items())


def _section(part: Part, result: Result, common: Mapping[str, str]) -> str:
    own = _listed({name: what for name, what in result.machine.items() if name not in common})
    return "\n".join(
        [
            f"## {part.title}\n",
            f"{part.about}\n",
            *_table(part, result),
            *[f"\nSkipped: {name}, because {why}." for name, why in sorted(result.skipped.items())],
            f"\n![{part.title}]({plot_path(part)})\n",
            f"{result.rounds} rounds, started at {result.began_at}.{f' {own}.' if own else ''}\n",
        ]
    )


def _table(part: Part, result: Result) -> Iterator[str]:
    """Yield a table of contestants and figures. The longer of the two lists forms the rows."""
    names = sorted(result.contestants(), key=lambda name: (not name.startswith("pexecutor"), name.casefold()))
    figures = [figure for figure in part.figures if any(result.values(name, figure) for name in names)]
    titles = [f"{part.figures[figure].title}, {part.figures[figure].unit}" for figure in figures]
    cells = [[_cell(part.figures[figure], result.values(name, figure)) for figure in figures] for name in names]
    if len(figures) > len(names):
        names, titles, cells = titles, names, [list(column) for column in zip(*cells, strict=True)]
    yield "| | " + " | ".join(titles) + " |"
    yield "|---" * (len(titles) + 1) + "|"
    for name, row in zip(names, cells, strict=True):
        yield f"| {name} | " + " | ".join(row) + " |"


def _panels(part: Part, result: Result) -> list[Panel]:
    return [
        Panel(part.figures[figure].title, part.figures[figure].unit, rows)
        for figure in part.plotted
        if (rows := [(name, spread(of)) for name in result.contestants() if (of := result.values(name, figure))])
    ]


def _cell(figure: Figure, values: list[float]) -> str:
    return _spread_text(values, figure.digits) if values else ""


def _spread_text(values: list[float], digits: int) -> str:
    median, lowest, highest = spread(values)
    if lowest == highest:
        return f"{median:,.{digits}f}"
    return f"{median:,.{digits}f} ({lowest:,.{digits}f} to {highest:,.{digits}f})"


def _reached(part: Part, bar: Bar, result: Result) -> str:
    values = bar.values(result)
    if not values:
        return "not measured"
    return _spread_text(values, 2) + TIMES if bar.against else _cell(part.figures[bar.figure], values)


def _bound(part: Part, bar: Bar, value: float | None) -> str:
    if value is None:
        return ""
    number = f"{value:g}{TIMES}" if bar.against else f"{value:,.{part.figures[bar.figure].digits}f}"
    return ("≤ " if bar.at_most else "≥ ") + number


def verdict(bar: Bar, result: Result) -> str:
    """Return whether the measured figure reaches the bar, as text. The median decides; rounds below it are reported."""
    values = bar.values(result)
    if not values:
        return "not measured"
    if not bar.reached_by(spread(values).median):
        return "**misses**" if bar.bar is not None else "short of the goal"
    return "holds" if all(map(bar.reached_by, values)) else "holds at the median"


def _anchor(title: str) -> str:
    return "".join(letter for letter in title.lower().replace(" ", "-") if letter.isalnum() or letter == "-")


if __name__ == "__main__":
    write_report()
