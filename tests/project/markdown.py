"""What a page of documentation shows: its code blocks, and how an output is compared with the one that is shown."""

from __future__ import annotations

import json
import re
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

_BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)

_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)

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
    (r'"finished_per_second": ?[\d.e+-]+', '"finished_per_second":0.0'),
]


class Block(NamedTuple):
    """A fenced block, the line of the page that it begins at, and the heading that it stands under."""

    language: str
    text: str
    line: int
    heading: str

    def __repr__(self) -> str:
        return f"{self.language} block at line {self.line}"


class Step(NamedTuple):
    """One command of a session, and the output that is shown for it."""

    command: str
    shown: str


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _BLOCK.finditer(text):
        before = text[: match.start()]
        heading = _HEADING.findall(before)[-1]
        found.append(Block(match["language"], match["text"], before.count("\n") + 1, heading))
    return found


def steps(session: Block) -> list[Step]:
    """The commands of a session, each behind a ``$`` and before its output."""
    found = [Step(command, output) for command, output in _STEP.findall(session.text)]
    assert "".join(f"$ {command}\n{output}" for command, output in found) == session.text, f"{session}: not a session"
    return found


def normal(output: str) -> str:
    """An output without what differs from run to run, and without how its JSON is broken into lines."""
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
