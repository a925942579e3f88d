"""Any value that a handler returns becomes a value that every store, listing and log line can hold."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pexecutor.values import (
    ERROR_BYTES_MAX,
    RETRY_AFTER_SECONDS_MAX,
    class_name,
    error_text,
    exception_text,
    leaf_exceptions,
    progress_number,
    raw_text,
    retry_after_seconds,
    sole_exception,
    truth,
)

from .hostile import (
    EXAMPLES,
    Endless,
    FalseGroup,
    Liar,
    NamelessClass,
    NoText,
    RaisesAtEverything,
    any_object,
    any_text,
)


@settings(max_examples=EXAMPLES, deadline=None)
@given(any_text)
def test_any_text_can_be_kept_and_stays_as_it_is_then(text: str) -> None:
    kept = error_text(text)
    assert msgspec.json.decode(msgspec.json.encode(kept)) == kept
    assert all(character in "\n\t" or not (character < " " or "\x7f" <= character < "\xa0") for character in kept)
    assert error_text(kept) == kept


@settings(max_examples=EXAMPLES, deadline=None)
@given(any_text, st.integers(1, 100_000))
def test_a_text_of_any_length_keeps_its_beginning_and_its_end(text: str, times: int) -> None:
    kept = error_text("the beginning" + text * times + "the end")
    assert len(kept.encode()) <= ERROR_BYTES_MAX
    assert kept.startswith("the beginning")
    assert kept.endswith("the end")
    assert error_text(kept) == kept


def test_a_gap_in_a_text_is_marked() -> None:
    kept = error_text("ä" * 20_000_000)
    assert "\n[... 20000000 characters; the middle is omitted ...]\n" in kept
    assert 8190 <= len(kept.encode()) <= ERROR_BYTES_MAX


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("caf\udce9.txt", r"caf\udce9.txt"),
        ("\0", r"\x00"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        pytest.param(Liar("plain"), "plain", id="a liar"),
    ],
)
def test_what_cannot_be_shown_becomes_an_escape(text: str, kept: str) -> None:
    assert error_text(text) == kept
    assert type(error_text(text)) is str


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("no such image"), "no such image"),
        (ValueError(), "ValueError"),
        (KeyError("host"), "KeyError: 'host'"),
        (IndexError("list index out of range"), "IndexError: list index out of range"),
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
        (
            AttributeError("'NoneType' object has no attribute 'x'"),
            "AttributeError: 'NoneType' object has no attribute 'x'",
        ),
        (AssertionError("x"), "AssertionError: x"),
        (NameError("name 'x' is not defined"), "NameError: name 'x' is not defined"),
        (TypeError("unhashable type: 'dict'"), "TypeError: unhashable type: 'dict'"),
        (SystemExit(3), "SystemExit: 3"),
        (StopIteration("it"), "StopIteration: it"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (NoText(), "<NoText: str() raised TypeError>"),
        (Endless(), "<Endless: str() raised RecursionError>"),
        (ValueError(Liar("lies")), "lies"),
        (ExceptionGroup("g", [ValueError("one")]), "one"),
        (
            BaseExceptionGroup("g", [ExceptionGroup("h", [ValueError("x")]), SystemExit(1)]),
            "SystemExit: 1; ValueError: x",
        ),
        (ExceptionGroup("g", [ValueError(str(n)) for n in range(12)]), "ValueError: 9; and 2 more"),
    ],
)
def test_an_exception_says_why(error: BaseException, text: str) -> None:
    assert exception_text(error).endswith(text)


def test_an_exception_may_raise_at_everything() -> None:
    error = RaisesAtEverything()  # made here, because code that looks at all objects would find it
    assert exception_text(error) == "<RaisesAtEverything: str() raised SystemExit>"


def test_groups_may_be_large_deep_and_false() -> None:
    deep: BaseException = SystemExit(1)
    for _ in range(500):
        deep = BaseExceptionGroup("deeper", [deep])
    assert exception_text(deep) == "SystemExit: 1"
    assert isinstance(sole_exception(deep), SystemExit)

    false = FalseGroup("f" * 20_000_000, [ValueError(str(number)) for number in range(30_000)])
    assert len(leaf_exceptions(false)) == 30_000
    assert len(exception_text(false)) <= ERROR_BYTES_MAX


def test_groups_that_share_groups_are_visited_once() -> None:
    leaf = shared = ValueError("shared")
    for _ in range(100):  # 2**100 paths lead to the leaf
        shared = ExceptionGroup("twice", [shared, shared])  # type: ignore[assignment]
    assert leaf_exceptions(shared) == [leaf]


def test_the_name_of_a_class_is_bounded_and_cannot_be_made_up() -> None:
    error = NamelessClass("\x1b" + "N" * 1000, (Exception,), {})()
    assert class_name(error) == r"\x1b" + "N" * 199


@settings(max_examples=EXAMPLES, deadline=None)
@given(any_object)
def test_any_object_is_a_wait_for_a_retry(value: object) -> None:
    seconds = retry_after_seconds(value)
    assert type(seconds) is float
    assert 0 <= seconds <= RETRY_AFTER_SECONDS_MAX


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, 0),
        (math.nan, 0),
        (math.inf, RETRY_AFTER_SECONDS_MAX),
        (-5, 0),
        (1e12, RETRY_AFTER_SECONDS_MAX),
        (10**400, RETRY_AFTER_SECONDS_MAX),
        (-(10**400), 0),
        ("5", 5),
        ("soon", 0),
        (True, 1),
        (Decimal("2.5"), 2.5),
        (Decimal("sNaN"), 0),
        ([5], 0),
    ],
)
def test_a_wait_for_a_retry_is_from_none_to_seven_days(value: object, seconds: float) -> None:
    assert retry_after_seconds(value) == seconds


@settings(max_examples=EXAMPLES, deadline=None)
@given(any_object)
def test_any_object_is_progress_or_is_refused_in_a_sentence(value: object) -> None:
    try:
        number = progress_number(value)
    except ValueError as error:
        assert len(str(error)) < 300  # noqa: PT017
    else:
        assert type(number) in (int, float)
        assert msgspec.json.decode(msgspec.json.encode(number)) >= 0


@pytest.mark.parametrize(("value", "number"), [(1, 1), (True, 1), (Fraction(1, 2), 0.5), (Decimal("0.25"), 0.25)])
def test_progress_may_be_any_kind_of_number(value: object, number: float) -> None:
    assert progress_number(value) == number


@settings(max_examples=EXAMPLES, deadline=None)
@given(any_object)
def test_any_object_has_a_text_and_a_truth(value: object) -> None:
    assert type(raw_text(value)) is str
    assert type(truth(value, default=True)) is bool
