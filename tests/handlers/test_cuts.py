"""Tests of where output is cut."""

from __future__ import annotations

import pytest

from pexecutor.handlers.cuts import cut_character, dropped_after_cut, kept_before_cut, whole_characters


@pytest.mark.parametrize(
    ("end", "kept"),
    [
        (b"one\ntwo\nthr", b"one\ntwo\n"),
        (b"one\n", b"one\n"),
        (b"", b""),
        (b"no line end", b"no line end"),
        ("\u20ac\u20ac".encode()[:-1], "\u20ac".encode()),
        ("\u20ac\u20ac".encode()[:-2], "\u20ac".encode()),
        ("a\U0001f600".encode()[:-1], b"a"),
        (b"caf\xe9!", b"caf\xe9!"),
        (b"\x80\x80\x80\x80", b"\x80\x80\x80\x80"),
    ],
)
def test_an_end_is_kept_up_to_a_line_end_or_else_a_character(end: bytes, kept: bytes) -> None:
    assert end[: kept_before_cut(end)] == kept


@pytest.mark.parametrize(
    ("begin", "left"),
    [
        (b"ee\none\ntwo", b"one\ntwo"),
        (b"\none", b"one"),
        (b"", b""),
        ("\u20acuro".encode()[1:], b"uro"),
        ("\U0001f600!".encode()[1:], b"!"),
        ("\u20acuro".encode(), "\u20acuro".encode()),
        (b"\x80\x80\x80\x80", b"\x80"),
    ],
)
def test_a_beginning_is_dropped_up_to_a_line_end_or_else_a_character(begin: bytes, left: bytes) -> None:
    assert begin[dropped_after_cut(begin) :] == left


def test_a_text_that_is_not_cut_stays_whole() -> None:
    whole = "h\u00e9 \u20ac \U0001f600".encode()
    assert whole_characters(whole) == len(whole)
    assert cut_character(whole) == 0
