"""The output of commands: JSON, lines for programs, or tables for people.

* ``JsonReport`` prints each document of the API unchanged, one per line.
* ``LineReport`` prints one line per item, with tab-separated fields. It is used for a pipe or a file.
* ``TableReport`` prints tables. It is used for a terminal, without colours if ``NO_COLOR`` is set.

Texts of tasks and servers are never interpreted as markup.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

import click

from .record_text import ago, for_terminal, json_for_terminal, members, note, one_line, since, standing
from .schedule_text import details_of, latest, latest_with_age, local, times_of, unchanged, upcoming
from .table import GAP_CELLS, Cell, Kind, TableLine, cells_of, lay_out, lay_out_facts
from .task_params import ParamsSchema

if TYPE_CHECKING:
    from ..client.client import Document

COLOURS: Final = {
    "succeeded": "green",
    "failed": "red",
    "timed_out": "red",
    "cancelled": "yellow",
    "abandoned": "magenta",
    "running": "cyan",
    "scheduled": "blue",
}


class Report(Protocol):
    """The output of a command."""

    def records(self, documents: Sequence[Document]) -> None:
        """Print tasks, one per line."""

    def details(self, document: Document) -> None:
        """Print all members of a document."""

    def handlers(self, documents: Sequence[Document]) -> None:
        """Print handlers, one per line."""

    def schedules(self, documents: Sequence[Document]) -> None:
        """Print schedules, one per line."""

    def schedule(self, document: Document) -> None:
        """Print all facts about a schedule."""


def report_for(*, as_json: bool) -> Report:
    """Return the report that suits standard output."""
    if as_json:
        return JsonReport()
    return TableReport() if sys.stdout.isatty() else LineReport()


def echo_json(raw: bytes) -> None:
    """Print JSON unchanged; on a terminal, escape characters that could control the terminal."""
    click.echo(json_for_terminal(raw) if sys.stdout.isatty() else raw)


class JsonReport:
    """A report of unchanged documents, one per line."""

    def records(self, documents: Sequence[Document]) -> None:
        """Print one document per line."""
        for document in documents:
            self.details(document)

    def details(self, document: Document) -> None:
        """Print the document."""
        echo_json(document.raw)

    handlers = records
    schedules = records
    schedule = details


class LineReport:
    """A report of lines with tab-separated fields."""

    def records(self, documents: Sequence[Document]) -> None:
        """Print the id, outcome or state, name, handler, time and note of each task."""
        for record in (document.value for document in documents):
            name, handler = record["name"], record["handler"]
            self._line([record["id"], standing(record), name, handler, since(record), note(record)])

    def details(self, document: Document) -> None:
        """Print one member per line."""
        for member, value in members(document.value):
            self._line([member, value])

    def handlers(self, documents: Sequence[Document]) -> None:
        """Print the name, params and description of each handler."""
        for handler in (document.value for document in documents):
            self._line([handler["name"], ParamsSchema(handler["params"]).signature(), one_line(handler["description"])])

    def schedules(self, documents: Sequence[Document]) -> None:
        """Print the name, times, task, next time and last occurrence of each schedule."""
        for schedule in (document.value for document in documents):
            name, task = one_line(schedule["name"]), one_line(schedule["task"]["name"])
            self._line([name, times_of(schedule), task, upcoming(schedule, unchanged), latest(schedule)])

    schedule = details

    def _line(self, fields: Iterable[str]) -> None:
        click.echo("\t".join(fields))


class TableReport:
    """A report of tables for a terminal."""

    def __init__(self) -> None:
        self._columns = shutil.get_terminal_size().columns
        self._is_coloured = not os.environ.get("NO_COLOR") and os.environ.get("TERM") not in ("dumb", "unknown")

    def records(self, documents: Sequence[Document]) -> None:
        """Print one row per task."""
        rows = []
        for record in (document.value for document in documents):
            word = standing(record)
            rows.append([record["id"], (word, COLOURS.get(word, "")), record["name"], record["handler"]])
            rows[-1] += [ago(since(record)), note(record)]
        kinds: list[Kind] = ["whole", "whole", "name", "name", "whole", "words"]
        self._table(["id", "state", "name", "handler", "since", ""], kinds, rows)

    def details(self, document: Document) -> None:
        """Print one row per member."""
        self._facts(members(document.value))

    def handlers(self, documents: Sequence[Document]) -> None:
        """Print one row per handler."""
        rows = [
            [(each["name"], "bold"), ParamsSchema(each["params"]).signature(), each["description"]]
            for each in (document.value for document in documents)
        ]
        self._table(["name", "params", "description"], ["name", "words", "words"], rows)

    def schedules(self, documents: Sequence[Document]) -> None:
        """Print one row per schedule, with times in the local time zone."""
        rows = [
            [(each["name"], "bold"), times_of(each), upcoming(each, local), latest_with_age(each)]
            for each in (document.value for document in documents)
        ]
        self._table(["name", "times", "next", "last"], ["name", "words", "words", "words"], rows)

    def schedule(self, document: Document) -> None:
        """Print one row per fact, with times in the local time zone."""
        self._facts(details_of(document.value))

    def _facts(self, facts: Iterable[tuple[str, str]]) -> None:
        cells = [(self._cell(name, "bold"), self._cell(value)) for name, value in facts]
        for line in lay_out_facts(cells, self._columns):
            click.echo(self._styled(line))

    def _table(self, titles: Sequence[str], kinds: Sequence[Kind], rows: Sequence[Sequence[Any]]) -> None:
        """Print titles, and rows of texts or of texts with their styles."""
        cells = [[self._cell(*(each if isinstance(each, tuple) else (each,))) for each in row] for row in rows]
        for line in lay_out([[Cell(title, "bold") for title in titles], *cells], kinds, self._columns):
            click.echo(self._styled(line))

    def _cell(self, text: str, style: str = "") -> Cell:
        return Cell(for_terminal(text, sys.stdout.encoding), style)

    def _styled(self, line: TableLine) -> str:
        parts = []
        for cell, width in zip(line.cells, line.widths, strict=False):
            parts += [self._coloured(cell), " " * (width - cells_of(cell.text) + GAP_CELLS)]
        return "".join(parts).rstrip()

    def _coloured(self, cell: Cell) -> str:
        if not (self._is_coloured and cell.style and cell.text):
            return cell.text
        return click.style(cell.text, bold=True) if cell.style == "bold" else click.style(cell.text, fg=cell.style)
