"""Lines of a stream: their ends, in chunks of any size, and their length."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pexecutor import ForeignReplyError
from pexecutor.client import line_splitter
from pexecutor.client.line_splitter import LineSplitter, lines_of

CHUNKS = st.lists(st.text("a\r\n\x0b\x85", max_size=5).map(str.encode))


@given(CHUNKS)
def test_a_line_ends_with_each_of_three_ends_wherever_the_chunks_end(chunks: list[bytes]) -> None:
    splitter, whole = LineSplitter(), b"".join(chunks)

    lines = [line for chunk in chunks for line in splitter.take(chunk)]

    assert lines == re.split(b"\r\n|\r|\n", whole)[:-1]


def test_a_line_is_not_held_back_until_the_next_chunk() -> None:
    splitter = LineSplitter()

    assert splitter.take(b"a\r") == [b"a"]
    assert splitter.take(b"\n\r\n") == [b""]


@pytest.mark.parametrize("chunks", [[b"x" * 11], [b"x" * 6, b"x" * 5], [b"a\n" + b"x" * 11 + b"\nb\n"]])
def test_a_line_without_an_end_is_bounded(monkeypatch: pytest.MonkeyPatch, chunks: list[bytes]) -> None:
    monkeypatch.setattr(line_splitter, "LINE_BYTES_MAX", 10)

    with pytest.raises(ForeignReplyError, match="longer than 8 MiB"):
        list(lines_of([*chunks, b"\n"]))
    assert list(lines_of([b"x" * 10, b"\n" + b"y" * 10, b"\n"])) == [b"x" * 10, b"y" * 10]
