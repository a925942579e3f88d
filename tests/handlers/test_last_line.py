"""The last line of a stream, as the error of a failed command shows it."""

from __future__ import annotations

import pytest

from pexecutor.handlers.last_line import LINE_CHARACTERS_MAX, last_line
from pexecutor.handlers.output import TAIL_BYTES_MAX, Tail
from pexecutor.values import plain_text


@pytest.mark.parametrize(
    ("printed", "shown"),
    [
        (b"", ""),
        (b"\n \r\n\t\n", ""),
        (b"disk full", "disk full"),
        (b"reading\ndisk full\n\n  \n", "disk full"),
        (b"10 %\r50 %\r\n", "50 %"),
        (b"\x1b[1;31mdisk full\x1b[0m\n\x1b[K", "disk full"),
        (b"\x1b]0;a title\x07disk full\n\x1b]0;a title\x1b\\\n", "disk full"),
        ("디스크 오류\n".encode(), "디스크 오류"),
        (b"d\xe9j\xe0 vu\n", "d\ufffdj\ufffd vu"),
        (b"a\0b\x1b\n", "a\\x00b\\x1b"),
        (b"x" * LINE_CHARACTERS_MAX, "x" * LINE_CHARACTERS_MAX),
        (b"x" * 100_000, "x" * (LINE_CHARACTERS_MAX - 1) + "…"),
    ],
)
def test_the_last_line_that_is_not_blank(printed: bytes, shown: str) -> None:
    tail = Tail()
    tail.append(printed)
    assert last_line(tail) == shown


@pytest.mark.parametrize("character", [b"\0", "é".encode(), "☃".encode(), "🙂".encode(), b"\xff", b"\x1b", b"\r", b"["])
def test_any_long_line_is_bounded_and_can_be_represented(character: bytes) -> None:
    tail = Tail()
    tail.append(b"x\n" + character * TAIL_BYTES_MAX)
    line = last_line(tail)
    assert len(line) <= LINE_CHARACTERS_MAX
    assert line == plain_text(line)
