"""Draw a snapshot as one screen, with as many lines of tasks as the terminal has room for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..output import COLOURS
from ..record_text import ago, note, one_line, seconds_of, span, standing
from ..table import NAME_CELLS_MIN, Kind, fitted, total_cells
from .snapshot import Snapshot

BAR_CELLS: Final = 24

_COUNTED: Final = frozenset({"submitted", "duplicates", "rejected", "retried"})

_LINES_OF_THE_REST: Final = 14
_ENDED_LINES: Final = 5


def draw(snapshot: Snapshot, *, url: str, lost: str | None, lines: int, columns: int) -> RenderableType:
    """Return the screen for a snapshot.

    Parameters:
        snapshot: the last snapshot.
        url: the URL of the server.
        lost: why the server cannot be reached at present, or ``None``.
        lines: the height of the terminal.
        columns: the width of the terminal.
    """
    room = max(2, lines - _LINES_OF_THE_REST)
    ended_lines = max(room - len(snapshot.running), min(_ENDED_LINES, room // 2))
    running_lines = room - min(ended_lines, len(snapshot.ended))
    return Group(
        _title(snapshot, url, lost),
        Text(),
        _gauges(snapshot),
        Text(),
        _running(snapshot, running_lines, columns),
        Text(),
        _ended(snapshot, ended_lines, columns),
        Text(),
        Text("q quits", style="dim"),
    )


def _title(snapshot: Snapshot, url: str, lost: str | None) -> Text:
    if lost is not None:
        cells = ("connection lost", "bold white on red"), "  ", _text(lost)
        return Text.assemble(*cells, no_wrap=True, overflow="ellipsis")
    phase = str(snapshot.statistics["phase"])
    return Text.assemble((url, "bold"), "  ", _text(phase, "green" if phase == "serving" else "bold white on red"))


def _gauges(snapshot: Snapshot) -> Table:
    statistics, store = snapshot.statistics, snapshot.statistics["store"]
    running, pool = store["running"], statistics["pool_size"]
    pending, scheduled, queue = store["pending"], store["scheduled"], store["queue_size"]
    rows: list[tuple[str, RenderableType, str]] = [
        ("pool", _bar(running, pool), f"{running} running, of {pool}"),
        ("queue", _bar(pending + scheduled, queue), f"{pending} pending, {scheduled} scheduled, of {queue}"),
        ("rate", "", f"{statistics['finished_per_second']:.1f} finished a second"),
        ("so far", "", _counts({name: number for name, number in statistics.items() if name in _COUNTED})),
        ("ended", "", _counts(store["finished"]) or "none"),
    ]
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(width=max(len(title) for title, _, _ in rows))
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    for title, bar, words in rows:
        # Without a bar, the words have the whole line: a narrow terminal has no other room for the counts of outcomes.
        table.add_row(title, _beside(bar, _text(words)) if bar else _text(words))
    return table


def _beside(bar: RenderableType, words: Text) -> Table:
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(width=BAR_CELLS)
    table.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    table.add_row(bar, words)
    return table


def _counts(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in numbers.items())


class _Column(NamedTuple):
    """A column of a table of tasks.

    Parameters:
        title: the title.
        kind: whether the texts may be shortened.
        rank: the importance; on a narrow terminal, the columns with the highest numbers are left out. 0 never is.
    """

    title: str
    kind: Kind
    rank: int


_RUNNING: Final = (
    _Column("running", "name", 0),
    _Column("id", "whole", 2),
    _Column("handler", "name", 3),
    _Column("progress", "whole", 4),
    _Column("", "name", 5),
    _Column("for", "whole", 1),
)
_ENDED: Final = (
    _Column("ended", "name", 0),
    _Column("id", "whole", 3),
    _Column("handler", "name", 4),
    _Column("outcome", "whole", 0),
    _Column("when", "whole", 1),
    _Column("took", "whole", 2),
    _Column("", "name", 5),
)


def _running(snapshot: Snapshot, lines: int, width: int) -> Table:
    shown = _first(snapshot.running, lines)
    rows: list[list[RenderableType]] = []
    for record in shown:
        progress = snapshot.progress(record)
        bar = "" if progress is None else _bar(progress, 1)
        share = note(record) if progress is None else f"{progress:.0%}"
        rows.append([*_about(record), bar, _text(share), _text(span(snapshot.elapsed(record)))])
    return _table(_RUNNING, rows, width, more=len(snapshot.running) - len(shown) if lines > 1 else 0)


def _ended(snapshot: Snapshot, lines: int, width: int) -> Table:
    shown = _first(snapshot.ended, lines)
    rows: list[list[RenderableType]] = []
    for record in shown:
        outcome = standing(record)
        times = _text(ago(record["finished_at"])), _text(_took(record))
        rows.append([*_about(record), _text(outcome, COLOURS.get(outcome, "")), *times, _text(note(record))])
    return _table(_ENDED, rows, width, more=len(snapshot.ended) - len(shown) if lines > 1 else 0)


def _about(record: dict[str, Any]) -> list[RenderableType]:
    return [_text(record["name"]), _text(record["id"]), _text(record["handler"])]


def _text(text: str, style: str = "") -> Text:
    """Return a text of the server as one safe line; every such text on the screen passes through here."""
    return Text(one_line(text), style)


def _took(record: dict[str, Any]) -> str:
    if "started_at" not in record:
        return ""
    return span(seconds_of(record["finished_at"]) - seconds_of(record["started_at"]))


def _first(records: list[dict[str, Any]], lines: int) -> list[dict[str, Any]]:
    """Return the records that fit into ``lines``, at least one; other records take a line for their number."""
    return records if len(records) <= lines else records[: max(1, lines - 1)]


def _bar(done: float, total: float) -> ProgressBar:
    return ProgressBar(total=total, completed=done, width=BAR_CELLS)


def _table(columns: Sequence[_Column], rows: Sequence[Sequence[RenderableType]], width: int, *, more: int) -> Table:
    """Return a table of tasks with the columns that the terminal has room for."""
    natural = [max([len(column.title), *(_cells(row[at]) for row in rows)]) for at, column in enumerate(columns)]
    least = [
        min(NAME_CELLS_MIN, natural[at]) if each.kind == "name" else natural[at] for at, each in enumerate(columns)
    ]
    kept = list(range(len(columns)))
    while total_cells([least[at] for at in kept]) > width and (last := max(kept, key=lambda at: columns[at].rank)):
        kept.remove(last)
    kinds = [columns[at].kind for at in kept]
    widths = fitted([natural[at] for at in kept], [least[at] for at in kept], kinds, width)
    table = Table(box=None, pad_edge=False, header_style="bold", caption_justify="left")
    for at, cells in zip(kept, widths, strict=True):
        table.add_column(columns[at].title, width=cells, no_wrap=True, overflow="ellipsis")
    for row in rows:
        table.add_row(*(row[at] for at in kept))
    if more:
        table.caption = f"and {more} more"
    return table


def _cells(cell: RenderableType) -> int:
    return cell.cell_len if isinstance(cell, Text) else BAR_CELLS if isinstance(cell, ProgressBar) else 0
