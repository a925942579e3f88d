"""Read a page of documentation: its headings, code blocks and sessions, and compare an output with the one shown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Final, NamedTuple

_FENCE: Final = re.compile(r"^(?P<margin>\s*)(?P<marks>```+|~~~+)(?P<info>.*)$")
_LANGUAGE: Final = re.compile(r"\w+")

_STEP = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)

_VARYING = [
    (r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", "<time>"),
    (r"\b[0-9a-f]{6}-(\d+)\b", r"<tag>-\1"),
    (r"(?m)^date: .*$", "date: <date>"),
    (r"(?m)^x-request-id: \w+$", "x-request-id: <id>"),
    (r"\bpex_\S+", "pex_<token>"),
    (r'(?m)^sha256 = ".*"$', 'sha256 = "<hash>"'),
    (r"(?m)^retry-after: \d+$", "retry-after: <seconds>"),
    (r"(?m)^\S*/pexecutor\.db\b", "<file>"),
    (r"\bsqlite:/\S*/(?=monday|new)", "sqlite:<directory>/"),
    (r'"(finished_per_second|writing_seconds)": ?[\d.e+-]+', r'"\1":0.0'),
]


class Block(NamedTuple):
    """A fenced block, its first line on the page, and the heading above it."""

    language: str
    text: str
    line: int
    heading: str

    def __repr__(self) -> str:
        return f"{self.language} block at line {self.line}"


class Step(NamedTuple):
    """One command of a session, and its output on the page."""

    command: str
    shown: str


def blocks(page: Path) -> list[Block]:
    """Return all code blocks of a page, in order.

    A block's heading is the last ``##`` above it, or the page's title. MyST directives are not code.

    Raises:
        AssertionError: a fence is indented, has no language, or is not closed, so no test would see its block.
    """
    return [Block(fence.info, fence.text, fence.line, fence.heading) for fence in _fences(page) if not fence.directive]


def headings(page: Path) -> list[str]:
    """Return the title and the headings of all levels, in order."""
    outside = _FENCED.sub("", page.read_text(encoding="utf-8"))
    return re.findall(r"^#+ (.+)$", outside, re.MULTILINE)


_FENCED: Final = re.compile(r"^(```+).*?^\1$", re.MULTILINE | re.DOTALL)


class _Fence(NamedTuple):
    info: str
    text: str
    line: int
    heading: str
    directive: bool


def _fences(page: Path) -> Iterator[_Fence]:
    heading, marks, info, begun, inside = "", "", "", 0, list[str]()
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(keepends=True), 1):
        fence = _FENCE.match(line)
        if marks:
            if line.rstrip("\n") == marks:
                yield _Fence(info, "".join(inside), begun, heading, info.startswith("{"))
                marks = ""
            else:
                inside.append(line)
        elif fence is not None:
            marks, info, begun, inside = fence["marks"], fence["info"], number, []
            where = f"{page.name}, line {number}"
            assert not fence["margin"], f"{where}: a fence must begin at the margin"
            assert info.startswith("{") or _LANGUAGE.fullmatch(info), f"{where}: a fence must name a language"
        elif line.startswith("## ") or (line.startswith("# ") and not heading):
            heading = line.lstrip("#").strip()
    assert not marks, f"{page.name}, line {begun}: this fence is not closed"


def steps(session: Block) -> list[Step]:
    """Return the commands of a session with their outputs. Each command follows a ``$``."""
    found = [Step(command, output) for command, output in _STEP.findall(session.text)]
    assert "".join(f"$ {command}\n{output}" for command, output in found) == session.text, f"{session}: not a session"
    return found


def normal(output: str) -> str:
    """Return an output without the parts that differ from run to run, and without line breaks in its JSON."""
    lines = [line.rstrip() for line in output.strip().splitlines()]
    text = "\n".join(lines)
    for pattern, replacement in _VARYING:
        text = re.sub(pattern, replacement, text)
    paragraphs = ["\n".join(group) for blank, group in groupby(text.splitlines(), key="".__eq__) if not blank]
    return "\n\n".join(map(_without_line_breaks, paragraphs))


def _without_line_breaks(paragraph: str) -> str:
    try:
        return json.dumps(json.loads(paragraph))
    except ValueError:
        return paragraph
