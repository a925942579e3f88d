"""The output of commands: JSON, lines for programs, or tables for people.

* ``JsonReport`` prints each document of the API unchanged, one per line.
* ``LineReport`` prints one line per item, with tab-separated fields. It is used for a pipe or a file.
* ``TableReport`` prints tables. It is used for a terminal, without colours if ``NO_COLOR`` is set.

Texts of tasks and servers are never interpreted as markup.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

import click

from .limit_text import facts_of_server, paused_what, why_waiting
from .record_text import ago, for_terminal, json_for_terminal, members, note, one_line, since, standing
from .schedule_text import details_of, latest, latest_with_age, local, times_of, unchanged, upcoming
from .table import GAP_CELLS, Cell, Kind, TableLine, cells_of, lay_out, lay_out_facts
from .task_params import ParamsSchema

if TYPE_CHECKING:
    from ..client.decoding import Document

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

    def records(self, documents: Sequence[Document], *, why: bool = False) -> None:
        """Print tasks, one per line; with ``why``, say why a task does not run."""

    def details(self, document: Document, *, why: str = "") -> None:
        """Print all members of a document, and first why the task does not run, if that is known."""

    def counts(self, document: Document) -> None:
        """Print what was done with many tasks, one count per line."""

    def handlers(self, documents: Sequence[Document]) -> None:
        """Print handlers, one per line."""

    def pauses(self, document: Document) -> None:
        """Print all pauses, one per line."""

    def reasons(self, documents: Sequence[Document]) -> None:
        """Print the reasons for which a task does not run, one per line."""

    def status(self, document: Document) -> None:
        """Print the facts about a server."""

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


def _note(record: Mapping[str, Any], *, why: bool) -> str:
    return (why_waiting(record) if why else "") or note(record)


def _counts(document: Document) -> list[tuple[str, str]]:
    return [(name, json.dumps(value)) for name, value in document.value.items() if name != "ids"]


class JsonReport:
    """A report of unchanged documents, one per line."""

    def records(self, documents: Sequence[Document], **_: Any) -> None:
        """Print one document per line."""
        for document in documents:
            self.details(document)

    def details(self, document: Document, **_: Any) -> None:
        """Print the document."""
        echo_json(document.raw)

    handlers = records
    schedules = records
    counts = details
    schedule = details
    pauses = details
    reasons = records
    status = details


class LineReport:
    """A report of lines with tab-separated fields."""

    def records(self, documents: Sequence[Document], *, why: bool = False) -> None:
        """Print the id, outcome or state, name, handler, time and note of each task."""
        for record in (document.value for document in documents):
            name, handler = record["name"], record["handler"]
            self._line([record["id"], standing(record), name, handler, since(record), _note(record, why=why)])

    def details(self, document: Document, *, why: str = "") -> None:
        """Print one member per line."""
        if why:
            self._line(["why", why])
        for member, value in members(document.value):
            self._line([member, value])

    def counts(self, document: Document) -> None:
        """Print one count per line, without the ids."""
        for name, value in _counts(document):
            self._line([name, value])

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

    def pauses(self, document: Document) -> None:
        """Print what is paused, since when and by whom."""
        for pause in document.value["pauses"]:
            self._line([paused_what(pause), one_line(pause["since"]), one_line(pause["by"])])

    def reasons(self, documents: Sequence[Document]) -> None:
        """Print the word and the sentence of each reason."""
        for reason in (document.value for document in documents):
            self._line([one_line(reason["reason"]), one_line(reason["detail"])])

    def status(self, document: Document) -> None:
        """Print one fact per line."""
        for name, value in facts_of_server(document.value):
            self._line([name, value])

    def _line(self, fields: Iterable[str]) -> None:
        click.echo("\t".join(fields))


class TableReport:
    """A report of tables for a terminal."""

    def __init__(self) -> None:
        self._columns = shutil.get_terminal_size().columns
        self._is_coloured = not os.environ.get("NO_COLOR") and os.environ.get("TERM") not in ("dumb", "unknown")

    def records(self, documents: Sequence[Document], *, why: bool = False) -> None:
        """Print one row per task."""
        rows = []
        for record in (document.value for document in documents):
            word = standing(record)
            rows.append([record["id"], (word, COLOURS.get(word, "")), record["name"], record["handler"]])
            rows[-1] += [ago(since(record)), _note(record, why=why)]
        kinds: list[Kind] = ["whole", "whole", "name", "name", "whole", "words"]
        self._table(["id", "state", "name", "handler", "since", ""], kinds, rows)

    def details(self, document: Document, *, why: str = "") -> None:
        """Print one row per member."""
        first = [("why", why)] if why else []
        self._facts([*first, *members(document.value)])

    def counts(self, document: Document) -> None:
        """Print one row per count, without the ids."""
        self._facts(_counts(document))

    def pauses(self, document: Document) -> None:
        """Print one row per pause."""
        rows = [[(paused_what(each), "bold"), ago(each["since"]), each["by"]] for each in document.value["pauses"]]
        self._table(["paused", "since", "by"], ["name", "whole", "words"], rows)

    def reasons(self, documents: Sequence[Document]) -> None:
        """Print one row per reason."""
        rows = [[(each.value["reason"], "bold"), each.value["detail"]] for each in documents]
        self._table(["reason", ""], ["whole", "words"], rows)

    def status(self, document: Document) -> None:
        """Print one row per fact."""
        self._facts(facts_of_server(document.value))

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
