"""Draw a snapshot as one screen, with as many lines of tasks as the terminal has room for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..output import COLOURS
from ..record_text import ago, note, one_line, seconds_of, span, standing
from .snapshot import Snapshot

BAR_CELLS: Final = 24

_COUNTED: Final = frozenset({"submitted", "duplicates", "rejected", "retried"})

_LINES_OF_THE_REST: Final = 14
_ENDED_LINES: Final = 5


def draw(snapshot: Snapshot, *, url: str, lost: str | None, lines: int) -> RenderableType:
    """Return the screen for a snapshot.

    Parameters:
        snapshot: the last snapshot.
        url: the URL of the server.
        lost: why the server cannot be reached at present, or ``None``.
        lines: the height of the terminal.
    """
    room = max(2, lines - _LINES_OF_THE_REST)
    ended_lines = max(room - len(snapshot.running), min(_ENDED_LINES, room // 2))
    running_lines = room - min(ended_lines, len(snapshot.ended))
    return Group(
        _title(snapshot, url, lost),
        Text(),
        _gauges(snapshot),
        Text(),
        _running(snapshot, running_lines),
        Text(),
        _ended(snapshot, ended_lines),
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
    table = Table.grid(padding=(0, 2))
    table.add_column(min_width=max(len(title) for title, _, _ in rows))
    table.add_column(min_width=BAR_CELLS)
    table.add_column(no_wrap=True, overflow="ellipsis")
    for title, bar, words in rows:
        table.add_row(title, bar, _text(words))
    return table


def _counts(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in numbers.items())


def _running(snapshot: Snapshot, lines: int) -> Table:
    table = _table("running", "id", "handler", "progress", "", "for")
    for record in _first(snapshot.running, lines, table):
        progress = snapshot.progress(record)
        bar = "" if progress is None else _bar(progress, 1)
        share = note(record) if progress is None else f"{progress:.0%}"
        about = [_text(record["name"]), _text(record["id"]), _text(record["handler"])]
        table.add_row(*about, bar, _text(share), span(snapshot.elapsed(record)))
    return table


def _ended(snapshot: Snapshot, lines: int) -> Table:
    table = _table("ended", "id", "handler", "outcome", "when", "took", "")
    for record in _first(snapshot.ended, lines, table):
        outcome = standing(record)
        took = _took(record)
        about = [_text(record["name"]), _text(record["id"]), _text(record["handler"])]
        shown = _text(outcome, COLOURS.get(outcome, ""))
        table.add_row(*about, shown, ago(record["finished_at"]), took, _text(note(record)))
    return table


def _text(text: str, style: str = "") -> Text:
    """Return a text of the server as one safe line; every such text on the screen passes through here."""
    return Text(one_line(text), style)


def _took(record: dict[str, Any]) -> str:
    if "started_at" not in record:
        return ""
    return span(seconds_of(record["finished_at"]) - seconds_of(record["started_at"]))


def _first(records: list[dict[str, Any]], lines: int, table: Table) -> Iterable[dict[str, Any]]:
    """Return the records that fit into ``lines``, and note the number of other records in the table's caption."""
    shown = records if len(records) <= lines else records[: max(0, lines - 1)]
    if len(shown) < len(records):
        table.caption = f"and {len(records) - len(shown)} more"
    return shown


def _bar(done: float, total: float) -> ProgressBar:
    return ProgressBar(total=total, completed=done, width=BAR_CELLS)


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", caption_justify="left")
    for title in titles:
        table.add_column(title)
    return _one_line_a_row(table)


def _one_line_a_row(table: Table) -> Table:
    for column in table.columns:
        column.no_wrap, column.overflow = True, "ellipsis"
    return table
