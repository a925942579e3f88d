"""Tests of tables for a terminal, in any width."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pexecutor.cli.table import Cell, Kind, TableLine, cells_of, lay_out, lay_out_facts, shortened, wrapped

KINDS: list[Kind] = ["whole", "whole", "name", "name", "whole", "words"]
TITLES = ["id", "state", "name", "handler", "since", ""]


def text_of(line: TableLine) -> str:
    parts = [
        cell.text + " " * (width - cells_of(cell.text)) for cell, width in zip(line.cells, line.widths, strict=False)
    ]
    return "  ".join(parts).rstrip()


def drawn(rows: list[list[str]], width: int) -> list[str]:
    cells = [[Cell(text) for text in row] for row in [TITLES, *rows]]
    return [text_of(line) for line in lay_out(cells, KINDS, width)]


def test_a_table_that_fits_has_one_line_a_row() -> None:
    assert drawn([["000001-1", "failed", "nightly dump", "dump", "5 s ago", "exit code 1: disk full"]], 80) == [
        "id        state   name          handler  since",
        "000001-1  failed  nightly dump  dump     5 s ago  exit code 1: disk full",
    ]


def test_words_wrap_between_words() -> None:
    row = ["000001-1", "failed", "nightly-dump", "dump", "5 s ago", "exit code 1: no space left on device"]
    assert drawn([row], 80) == [
        "id        state   name          handler  since",
        "000001-1  failed  nightly-dump  dump     5 s ago  exit code 1: no space left on",
        "                                                  device",
    ]  # fmt: skip


def test_a_long_word_and_a_text_without_room_stand_below_the_row() -> None:
    path = "/var/backups/customers/2026-11-30.dump"
    rows = [
        ["000001-1", "failed", "nightly-dump-of-the-customers", "dump", "5 s ago", f"no space left for {path}"],
        ["000001-2", "succeeded", "b", "dump", "5 s ago", ""],
    ]
    assert drawn(rows, 80) == [
        "id        state      name                           handler  since",
        "000001-1  failed     nightly-dump-of-the-customers  dump     5 s ago",
        f"    no space left for {path}",
        "000001-2  succeeded  b                              dump     5 s ago",
    ]


def test_a_name_without_room_is_shortened_and_never_goes_on_in_the_next_line() -> None:
    [_, row, note] = drawn([["000001-1", "succeeded", "x" * 60, "y" * 30, "59 min 59 s ago", "done"]], 80)
    assert row == f"000001-1  succeeded  {'x' * 19}…  {'y' * 19}…  59 min 59 s ago"
    assert note == "    done"


def test_names_and_values() -> None:
    facts = [("name", "nightly"), ("error", "a" * 70), ("x" * 60, "5"), ("output.stdout", "so " * 30 + "end")]
    lines = [text_of(line) for line in lay_out_facts([(Cell(name), Cell(value)) for name, value in facts], 80)]
    assert lines == [
        "name           nightly",
        "error",
        "    " + "a" * 70,
        "x" * 60,
        "    5",
        "output.stdout  " + ("so " * 22).rstrip(),
        "               " + "so " * 8 + "end",
    ]


@pytest.mark.parametrize(
    ("text", "cells"), [("abc", 3), ("한국어", 6), ("é", 1), ("e\u0301", 1), ("a\u200bb", 2), ("\uff46", 2), ("", 0)]
)
def test_how_many_cells_a_text_fills(text: str, cells: int) -> None:
    assert cells_of(text) == cells


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("한국어", 6, "한국어"), ("한국어", 5, "한국…"), ("한국어", 4, "한…")],
)
def test_a_shortened_text_fits(text: str, width: int, shown: str) -> None:
    assert shortened(text, width) == shown


@given(text=st.text(alphabet="ab 한e\u0301", max_size=60), width=st.integers(2, 20))
def test_a_wrapped_text_loses_only_spaces(text: str, width: int) -> None:
    lines = wrapped(text, width)
    assert all(cells_of(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    words = {word for word in text.split(" ") if cells_of(word) <= width}
    assert words <= {word for line in lines for word in line.split(" ")} | {""}


@given(
    rows=st.lists(
        st.tuples(*(st.text(alphabet="abc-", min_size=1, max_size=size) for size in (9, 9, 40, 30, 12)),
                  st.text(alphabet="ab c", max_size=60)),
        min_size=1, max_size=4,
    ),
    width=st.integers(80, 120),
)  # fmt: skip
def test_no_line_is_wider_than_the_terminal(rows: list[tuple[str, ...]], width: int) -> None:
    lines = drawn([[each.strip() for each in row] for row in rows], width)
    assert all(cells_of(line) <= width for line in lines)
    for row in rows:
        assert any(line.startswith(row[0].strip()) for line in lines)


def test_a_word_that_is_longer_than_its_column_moves_the_text_below() -> None:
    """The column has room for 33 cells, and the path needs 38."""
    note = "no space left for /var/backups/customers/2026-11-30.dump"
    assert drawn([["000001-1", "failed", "nightly-dump", "dump", "5 s ago", note]], 80)[1:] == [
        "000001-1  failed  nightly-dump  dump     5 s ago",
        f"    {note}",
    ]
