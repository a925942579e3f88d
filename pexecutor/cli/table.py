"""Lay out tables for a terminal: identifiers stay whole, and texts wrap between words.

A column of words may be narrower than its texts. A text of the last column moves below its row, where the line is free,
if the column is too narrow for its longest word. If the other columns are still too wide, the longest names are
shortened with an ellipsis, as a name that goes on in the next line cannot be read or copied.

Road not taken: the tables of ``rich``. They make all columns narrower alike and break words and names to fit, and
loading them takes longer than the rest of a short command.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import Final, Literal, NamedTuple

Kind = Literal["whole", "name", "words"]
"""Whether texts of a column stay whole, may be shortened at the end, or wrap between words."""

GAP_CELLS: Final = 2
INDENT_CELLS: Final = 4
NAME_CELLS_MIN: Final = 12
WORDS_CELLS_MIN: Final = 20
"""The least width of a column of words, unless its texts are shorter."""

_ELLIPSIS: Final = "…"


class Cell(NamedTuple):
    """A text on one line, and its style: a colour, ``bold`` or ``""``."""

    text: str
    style: str = ""


class TableLine(NamedTuple):
    """A part of a line: a text with the cells that it fills."""

    cells: list[Cell]
    widths: list[int]


def cells_of(text: str) -> int:
    """Return how many cells of a terminal a text fills."""
    if text.isascii():
        return len(text)
    return sum(_cells(character) for character in text)


def _cells(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Cf", "Me", "Mn"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def lay_out(rows: Sequence[Sequence[Cell]], kinds: Sequence[Kind], width: int) -> Iterator[TableLine]:
    """Yield the lines of a table.

    Parameters:
        rows: the rows, each with a cell for each column; the titles may be one of them.
        kinds: the kinds of the columns.
        width: the width of the terminal, in cells.
    """
    natural = [max(cells_of(row[at].text) for row in rows) for at in range(len(kinds))]
    least = [_least(kind, natural[at], [row[at].text for row in rows]) for at, kind in enumerate(kinds)]
    least[-1] = min(natural[-1], WORDS_CELLS_MIN) if kinds[-1] == "words" else least[-1]
    beside = len(kinds) - (kinds[-1] == "words" and total_cells(least) > width)
    widths = fitted(natural[:beside], least[:beside], kinds[:beside], width)
    for row in rows:
        last = row[-1]
        if kinds[-1] != "words" or (beside == len(kinds) and _longest_word(last.text) <= widths[-1]):
            yield from _wrapped(row, widths, kinds)
        else:
            yield from _wrapped(row[:-1], widths, kinds)
            yield from _below(last, width)


def lay_out_facts(facts: Sequence[tuple[Cell, Cell]], width: int) -> Iterator[TableLine]:
    """Yield the lines of a table of names and values: a value stands below its name if it does not fit beside it."""
    column = max((cells for name, _ in facts if (cells := cells_of(name.text)) <= width // 2), default=0)
    left = width - column - GAP_CELLS
    for name, value in facts:
        if cells_of(name.text) <= column and _longest_word(value.text) <= left:
            yield from _wrapped([name, value], [column, left], ["whole", "words"])
        else:
            yield TableLine([name], [0])
            yield from _below(value, width)


def _below(cell: Cell, width: int) -> Iterator[TableLine]:
    for text in wrapped(cell.text, width - INDENT_CELLS) if cell.text else ():
        yield TableLine([Cell(""), Cell(text, cell.style)], [INDENT_CELLS - GAP_CELLS, 0])


def _least(kind: Kind, natural: int, texts: Iterable[str]) -> int:
    """Return the least width of a column in which no text is shortened or broken within a word."""
    if kind != "words":
        return natural
    return min(natural, max([WORDS_CELLS_MIN, *map(_longest_word, texts)]))


def _longest_word(text: str) -> int:
    return max(map(cells_of, text.split(" ")))


def total_cells(widths: Sequence[int]) -> int:
    """Return the width of columns beside each other, with the gaps between them."""
    return sum(widths) + GAP_CELLS * (len(widths) - 1)


def fitted(natural: Sequence[int], least: Sequence[int], kinds: Sequence[Kind], width: int) -> list[int]:
    """Return the widths of columns beside each other; only names get less than ``least``, if the width demands it.

    Parameters:
        natural: the widths that the texts need.
        least: the least widths that the columns should have.
        kinds: the kinds of the columns.
        width: the width of the terminal.
    """
    widths = list(least)
    for at in range(len(widths)):  # what is left goes to the columns of words, from the left
        widths[at] += max(0, min(natural[at] - widths[at], width - total_cells(widths)))
    names = [at for at, kind in enumerate(kinds) if kind != "whole"]
    while total_cells(widths) > width and (names := [at for at in names if widths[at] > NAME_CELLS_MIN]):
        widths[max(names, key=lambda at: widths[at])] -= 1
    return widths


def _wrapped(row: Sequence[Cell], widths: Sequence[int], kinds: Sequence[Kind]) -> Iterator[TableLine]:
    columns = [
        wrapped(cell.text, width) if kind == "words" else [shortened(cell.text, width)]
        for cell, width, kind in zip(row, widths, kinds, strict=False)
    ]
    for texts in zip_longest(*columns, fillvalue=""):
        yield TableLine([Cell(text, cell.style) for text, cell in zip(texts, row, strict=False)], list(widths))


def shortened(text: str, width: int) -> str:
    """Return the beginning of a text with an ellipsis if it is wider than ``width`` cells."""
    if cells_of(text) <= width:
        return text
    return _beginning(text, width - 1) + _ELLIPSIS


def wrapped(text: str, width: int) -> list[str]:
    """Return a text in lines of at most ``width`` cells; only a word that is wider than a line is broken."""
    lines, line = [], ""
    for word in text.split(" "):
        if line and cells_of(line) + 1 + cells_of(word) <= width:
            line += f" {word}"
            continue
        if line:
            lines.append(line)
        line = word
        while cells_of(line) > width and (head := _beginning(line, width)):
            lines.append(head)
            line = line[len(head) :]
    return [*lines, line] if line or not lines else lines


def _beginning(text: str, width: int) -> str:
    """Return as much of the beginning of a text as fits into ``width`` cells."""
    cells = 0
    for at, character in enumerate(text):
        cells += _cells(character)
        if cells > width:
            return text[:at]
    return text
