"""The text that shows a record."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pexecutor.cli.record_text import for_terminal, json_for_terminal, members, note, one_line, since, span, standing


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.0123, "12 ms"),
        (1.25, "1.2 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (86_400, "1 d"),
        (7 * 86_400 - 1, "6 d 23 h"),
        (-90, "1 min 30 s"),
    ],
)
def test_a_span_has_one_unit_or_two(seconds: float, text: str) -> None:
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ({}, ""),
        ({"error": "first\nsecond\x1b[2J"}, "first second [2J"),
        ({"result": None}, ""),
        ({"result": 0}, "0"),
        ({"result": {"a": "ä\n"}}, '{"a": "ä\\n"}'),
        ({"progress": {"done": 3.0, "total": 4}}, "3 of 4"),
        ({"progress": {"done": 0.5, "total": None}}, "0.5"),
        ({"follows": "abcdef-1"}, "follows abcdef-1"),
    ],
)
def test_a_note_is_one_line(record: dict[str, Any], text: str) -> None:
    assert note(record) == text


def test_the_time_is_that_of_the_latest_thing_that_happened() -> None:
    record = {"state": "scheduled", "submitted_at": "1", "due_at": "2"}
    assert (since(record), standing(record)) == ("2", "scheduled")
    record |= {"state": "running", "started_at": "3"}
    assert (since(record), standing(record)) == ("3", "running")
    record |= {"state": "finished", "finished_at": "4", "outcome": "failed"}
    assert (since(record), standing(record)) == ("4", "failed")


def test_members_are_flat() -> None:
    document = {"a": 1, "b": {"c": "x\ty", "d": None}, "e": [{"f": True}, {"f": False}], "g": [], "h": [1, "2"]}
    assert list(members(document)) == [
        ("a", "1"),
        ("b.c", "x y"),
        ("e.1.f", "true"),
        ("e.2.f", "false"),
        ("h", '[1, "2"]'),
    ]


def test_the_names_of_members_are_one_line() -> None:
    document = {"a\nb": 1, "c\x1b[2J": {"d\t": "e"}, "f\n": ["\u202e"]}
    assert list(members(document)) == [("a b", "1"), ("c [2J.d", "e"), ("f", '[" "]')]


@pytest.mark.parametrize(
    ("text", "encoding", "expected"),
    [
        ("café", "utf-8", "café"),
        ("café €", "ascii", r"caf\xe9 \u20ac"),
        ("caf\udce9", "utf-8", r"caf\udce9"),
        ("a\x1b[2Jb\u009bc\u202ed", "utf-8", "a [2Jb c d"),
    ],
)
def test_a_text_that_a_terminal_can_show(text: str, encoding: str, expected: str) -> None:
    assert for_terminal(text, encoding) == expected


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_json_for_a_terminal_says_the_same_without_control_characters(text: str) -> None:
    for said in (text, f"{text}\x7f\x9b\u202e\u2066"):
        printed = json_for_terminal(json.dumps({"a": said}, ensure_ascii=False).encode())
        assert json.loads(printed) == {"a": said}
        assert re.search("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", printed.decode()) is None


def test_a_text_of_one_line_has_no_control_characters() -> None:
    assert one_line(" a\x00\x07\x85b\u2028c ") == "a b c"
