"""The report: ``README.md`` and its plots, made of the results alone. ``python -m bench.report`` makes them.

Nothing in it is typed, so it cannot say what was not measured; a test holds that the files are what the results give.
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

`nox -s bench` measures all of this, and makes this page of the raw results in [`results/`](results): nothing here is
typed. It takes a quarter of an hour and needs `nox` alone; each library that it compares with is installed in an
environment of its own. Where there is PostgreSQL, or `wrk`, it is used too. `nox -s bench -- shared peers --rounds 5`
measures two parts, `--quick` is a smoke run. What is done against the ways in which benchmarks lie:
[NOTES.md](NOTES.md#method).

A figure is the median of the rounds, and in brackets the lowest and the highest. A ratio is made within each round, in
which everybody ran once. What misses its bar is said to miss it.
"""


def report_files(results: Path = RESULTS) -> dict[str, str]:
    """Every file of the report, by its path below ``bench/``."""
    measured = [(part, result) for part in map(load_part, NAMES) if (result := load(part.name, results)) is not None]
    common = _common([result.machine for _, result in measured])
    sections = [_section(part, result, common) for part, result in measured]
    text = "\n".join([HEAD, f"Machine: {_listed(common)}.\n", *_bars(measured), *sections])
    return {"README.md": text} | {plot_path(part): draw(_panels(part, result)) for part, result in measured}


def write_report() -> None:
    """Write them in the place of those before."""
    for path in (BENCH / "plots").glob("*.svg"):
        path.unlink()
    (BENCH / "plots").mkdir(exist_ok=True)
    for name, text in report_files().items():
        (BENCH / name).write_text(text, encoding="utf-8")


def print_bars(part: Part, result: Result) -> None:
    """Each bar of a part, and whether it holds."""
    for bar in part.bars:
        bound = _bound(part, bar, bar.bar) or "none"
        print(f"{bar.path}: {_reached(part, bar, result)}, bar {bound}: {verdict(bar, result)}")


def plot_path(part: Part) -> str:
    """Where its plot is, below ``bench/``."""
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
    """What is the same in all parts."""
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
            *[f"\nLeft out: {name}, since {why}." for name, why in sorted(result.skipped.items())],
            f"\n![{part.title}]({plot_path(part)})\n",
            f"{result.rounds} rounds, begun {result.began_at}.{f' {own}.' if own else ''}\n",
        ]
    )


def _table(part: Part, result: Result) -> Iterator[str]:
    """Who against what; the longer of the two goes down."""
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
    """Whether what was measured reaches a bar; the median decides, and a round that does not is told."""
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
