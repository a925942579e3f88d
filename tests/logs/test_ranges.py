"""Tests of ranges: which bytes of a log a `Range` header selects."""

from __future__ import annotations

import pytest

from pexecutor.logs.ranges import ByteRange, parse_range, resolve
from pexecutor.logs.reading import Missing

GAP = Missing(100, 900)


@pytest.mark.parametrize(
    ("header", "requested"),
    [
        ("bytes=0-9", ByteRange(0, 9)),
        ("bytes=5-", ByteRange(5, None)),
        ("bytes=-5", ByteRange(None, 5)),
        ("Bytes= 5-5 ", ByteRange(5, 5)),
        ("bytes=9-5", None),
        ("bytes=-", None),
        ("bytes=0-1,3-4", None),
        ("lines=0-1", None),
        ("bytes=a-b", None),
        ("bytes=\u0663-", None),
        ("bytes=" + "9" * 5000 + "-", ByteRange(10**18, None)),
        ("bytes=5-" + "9" * 50, ByteRange(5, 10**18)),
        ("bytes=-" + "9" * 19, ByteRange(None, 10**18)),
        ("bytes=" + "0" * 50 + "5-" + "0" * 50 + "7", ByteRange(5, 7)),
    ],
)
def test_one_range_of_bytes_is_understood_and_everything_else_ignored(header: str, requested: ByteRange | None) -> None:
    assert parse_range([header]) == requested


def test_two_headers_are_ignored() -> None:
    assert parse_range(["bytes=0-1", "bytes=2-3"]) is None
    assert parse_range([]) is None


@pytest.mark.parametrize(
    ("requested", "found"),
    [
        (ByteRange(0, 9), (0, 10)),
        (ByteRange(5, None), (5, 1000)),
        (ByteRange(990, 5000), (990, 1000)),
        (ByteRange(None, 5), (995, 1000)),
        (ByteRange(None, 5000), (0, 1000)),
        (ByteRange(None, 0), None),
        (ByteRange(1000, None), None),
        (ByteRange(5000, 6000), None),
    ],
)
def test_without_a_gap(requested: ByteRange, found: tuple[int, int] | None) -> None:
    assert resolve(requested, 1000, None) == found


@pytest.mark.parametrize(
    ("requested", "found"),
    [
        (ByteRange(0, None), (0, 100)),
        (ByteRange(50, 950), (50, 100)),
        (ByteRange(0, 99), (0, 100)),
        (ByteRange(100, None), (900, 1000)),
        (ByteRange(500, None), (900, 1000)),
        (ByteRange(500, 509), (900, 910)),
        (ByteRange(500, 700), (900, 1000)),
        (ByteRange(500, 950), (900, 1000)),
        (ByteRange(900, 909), (900, 910)),
        (ByteRange(None, 500), (900, 1000)),
        (ByteRange(None, 50), (950, 1000)),
    ],
)
def test_a_range_ends_at_the_gap_and_one_in_the_gap_begins_behind_it(
    requested: ByteRange, found: tuple[int, int]
) -> None:
    assert resolve(requested, 1000, GAP) == found


def test_nothing_of_an_empty_log_can_be_selected() -> None:
    assert resolve(ByteRange(0, None), 0, None) is None
    assert resolve(ByteRange(None, 5), 0, None) is None
