"""Tests of the output that is kept of a run, and of the progress that a handler reports."""

from __future__ import annotations

import math
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pexecutor import Context
from pexecutor.handlers.output import Output, Tail


@given(st.lists(st.binary(max_size=40)), st.integers(min_value=1, max_value=16))
def test_a_tail_is_the_end_of_what_was_appended(pieces: list[bytes], bytes_max: int) -> None:
    tail = Tail(bytes_max)
    for piece in pieces:
        tail.append(piece)
    everything = b"".join(pieces)
    assert bytes(tail) == everything[-bytes_max:]
    assert tail.seen == len(everything)


def test_a_tail_of_single_bytes_stays_small() -> None:
    tail = Tail(100)
    for _ in range(10_000):
        tail.append(b"x")
    assert len(tail._held) < 200
    assert repr(tail) == "<Tail 100 of 10000 bytes>"


@pytest.mark.parametrize("bytes_max", range(1, 13))
def test_a_character_that_the_limit_cuts_is_left_out(bytes_max: int) -> None:
    tail = Tail(bytes_max)
    tail.append("aé☃😀".encode())
    assert "aé☃😀".endswith(tail.text())


def test_what_is_no_utf_8_is_replaced() -> None:
    tail = Tail()
    tail.append(b"\x80a\xff")
    assert tail.text() == "\ufffda\ufffd"


def test_the_output_of_a_run_that_left_none_is_false_and_empty() -> None:
    context = Context("000001-1", "a")
    assert not context.output
    assert context.output.snapshot() == Output()


@pytest.mark.parametrize("kind", ["exit_code", "status"])
def test_a_zero_is_something_to_be_read(kind: str) -> None:
    context = Context("000001-1", "a")
    setattr(context.output, kind, 0)
    assert context.output


def test_progress_keeps_the_total_that_was_told_last() -> None:
    context = Context("000001-1", "a")
    assert (context.done, context.total) == (None, None)
    context.progress(1, 4)
    context.progress(2)
    assert (context.done, context.total) == (2, 4)


@pytest.mark.parametrize("numbers", [(-1,), (math.nan,), (math.inf,), (1, -1), (1, math.nan)])
def test_progress_that_cannot_be_shown_is_refused(numbers: tuple[float, ...]) -> None:
    context = Context("000001-1", "a")
    with pytest.raises(ValueError, match="finite number of at least 0"):
        context.progress(*numbers)
    assert context.done is None


def test_lines_that_many_threads_log_are_whole() -> None:
    context = Context("000001-1", "a")

    def log(line: str) -> None:
        for _ in range(200):
            context.log(line)

    threads = [threading.Thread(target=log, args=[letter * 20]) for letter in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    lines = context.output.snapshot().log.splitlines()
    assert sorted(lines) == sorted([letter * 20 for letter in "abcd"] * 200)
