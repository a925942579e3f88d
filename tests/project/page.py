"""Pages of the documentation: the README, and those under ``docs/``."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Final

from .conftest import PROJECT
from .markdown import Block, blocks, headings

DOCS: Final = PROJECT / "docs"


class Page:
    """One page, with its text, its tables and its code blocks.

    Parameters:
        path: the Markdown file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text(encoding="utf-8")

    def __repr__(self) -> str:
        return str(self.path.relative_to(PROJECT))

    @cached_property
    def blocks(self) -> list[Block]:
        """All code blocks, in order."""
        return blocks(self.path)

    @cached_property
    def headings(self) -> list[str]:
        """The title and all headings, in order."""
        return headings(self.path)

    @cached_property
    def rows(self) -> dict[str, list[str]]:
        """Every table row, by the code in its first cell. A row with several codes is listed under each of them."""
        return rows(self.text)

    def find(self, language: str, heading: str | None = None) -> list[Block]:
        """Return the blocks in a language, or only those under a ``##`` heading (or the title)."""
        return [block for block in self.blocks if block.language == language and heading in (None, block.heading)]

    def only(self, language: str, heading: str | None = None) -> Block:
        """Return the one block in a language, or the one under a heading."""
        [block] = self.find(language, heading)
        return block

    def shown_after(self, block: Block) -> str:
        """Return the ``text`` block that follows a block: the output that the page shows for it."""
        following = self.blocks[self.blocks.index(block) + 1]
        assert following.language == "text", f"{self}: {block} is followed by no output"
        return following.text


def page(name: str) -> Page:
    """Open a page under ``docs/`` by its name without the suffix, such as ``reference/settings``."""
    return Page(DOCS / f"{name}.md")


def pages(*folders: str) -> list[Page]:
    """Open every page in folders of ``docs/``, sorted by path."""
    return [Page(path) for folder in folders for path in sorted((DOCS / folder).rglob("*.md"))]


def rows(document: str) -> dict[str, list[str]]:
    """Return every table row of a document, by the code in its first cell."""
    found = {}
    for line in re.findall(r"^\| (.+) \|$", document, re.MULTILINE):
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)]
        for subject in re.findall(r"`([^`]+)`", cells[0]):
            found[subject] = cells
    return found


README: Final = Page(PROJECT / "README.md")
