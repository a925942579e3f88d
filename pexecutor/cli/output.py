"""How a command tells what it was told: as JSON, as lines for programs, or as tables for people.

* ``JsonReport``: each document as it came, one a line.
* ``LineReport``: one line each, its fields with tabs between; what a pipe or a file gets.
* ``TableReport``: what a terminal gets. Colours are left out where ``NO_COLOR`` is set.

Nothing that a task or a server said is taken for markup.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

import click

from .record_text import ago, for_terminal, json_for_terminal, members, note, one_line, since, standing
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
    """Where a command tells what the server said."""

    def records(self, documents: Sequence[Document]) -> None:
        """Tasks, one a line."""

    def details(self, document: Document) -> None:
        """One thing, with all that is known of it."""

    def handlers(self, documents: Sequence[Document]) -> None:
        """Handlers, one a line."""


def report_for(*, as_json: bool) -> Report:
    """The report that standard output calls for."""
    if as_json:
        return JsonReport()
    return TableReport() if sys.stdout.isatty() else LineReport()


def echo_json(raw: bytes) -> None:
    """Print JSON as it came; on a terminal, nothing in it is a command to that."""
    click.echo(json_for_terminal(raw) if sys.stdout.isatty() else raw)


class JsonReport:
    """Documents as they came, one a line."""

    def records(self, documents: Sequence[Document]) -> None:
        """One document a line."""
        for document in documents:
            self.details(document)

    def details(self, document: Document) -> None:
        """The document."""
        echo_json(document.raw)

    handlers = records


class LineReport:
    """Lines of fields, with tabs between."""

    def records(self, documents: Sequence[Document]) -> None:
        """Id, where it stands, name, handler, since when, and a note."""
        for record in (document.value for document in documents):
            name, handler = record["name"], record["handler"]
            self._line([record["id"], standing(record), name, handler, since(record), note(record)])

    def details(self, document: Document) -> None:
        """One member a line."""
        for member, value in members(document.value):
            self._line([member, value])

    def handlers(self, documents: Sequence[Document]) -> None:
        """Name, params, description."""
        for handler in (document.value for document in documents):
            self._line([handler["name"], ParamsSchema(handler["params"]).signature(), one_line(handler["description"])])

    def _line(self, fields: Iterable[str]) -> None:
        click.echo("\t".join(fields))


class TableReport:
    """Tables in a terminal."""

    def __init__(self) -> None:
        # Imported here, as it is much to load, and no pipe needs it.
        from rich.console import Console

        self._console = Console(highlight=False, markup=False, emoji=False)

    def records(self, documents: Sequence[Document]) -> None:
        """A row each."""
        rows = []
        for record in (document.value for document in documents):
            word = standing(record)
            rows.append([record["id"], (word, COLOURS.get(word, "")), record["name"], record["handler"]])
            rows[-1] += [ago(since(record)), note(record)]
        self._table(["id", "state", "name", "handler", "since", ""], rows)

    def details(self, document: Document) -> None:
        """A row for each member."""
        self._table(None, [[(member, "bold"), value] for member, value in members(document.value)])

    def handlers(self, documents: Sequence[Document]) -> None:
        """A row each."""
        rows = [
            [(each["name"], "bold"), ParamsSchema(each["params"]).signature(), each["description"]]
            for each in (document.value for document in documents)
        ]
        self._table(["name", "params", "description"], rows)

    def _table(self, titles: Sequence[str] | None, rows: Sequence[Sequence[Any]]) -> None:
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, show_header=titles is not None, header_style="bold", pad_edge=False)
        for title in titles or rows[0]:
            table.add_column(title if titles else "", overflow="fold")
        for row in rows:
            cells = [cell if isinstance(cell, tuple) else (cell, "") for cell in row]
            table.add_row(*(Text(for_terminal(text, self._console.encoding), style) for text, style in cells))
        self._console.print(table)
