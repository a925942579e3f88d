"""The texts for the errors of ``msgspec``, by kind. No other module words these errors."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import msgspec
import pytest
from msgspec import Meta

import pexecutor
from pexecutor import ConfigError, InvalidTaskError, Outcome, Task
from pexecutor.config import load_config
from pexecutor.validation import TIME_EXAMPLE, error_words, fault_of, malformed, table_from, unknown
from pexecutor.web.api.decode import decode_batch, decode_query, decode_task
from pexecutor.web.api.errors import BadRequestError
from pexecutor.web.api.submit import SubmitQuery
from pexecutor.web.api.tasks import TasksQuery

Colour = Literal["red", "green", "blue"]


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    width: int
    colour: Colour = "red"


class Typed(TypedDict):
    colour: Colour


@dataclass
class Plain:
    colour: Colour


class Outer(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    inner: Inner | None = None
    inners: list[Inner] = []
    colours: dict[str, Annotated[Colour, Meta(description="a colour")]] = {}
    keys: dict[Colour, int] = {}
    pair: tuple[int, Colour] | None = None
    any_pairs: tuple[Colour, ...] = ()
    either: Literal[1, 2] | Outcome | None = None
    typed: Typed | None = None
    plain: Plain | None = None
    due_at: datetime | None = None
    count: Annotated[int, Meta(ge=0, le=5)] | None = None


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (5, "expected `object`, got `int`"),
        ({"inner": {}}, "`inner.width` is required"),
        ({"inner": {"width": 1, "widht": 2}}, "unknown field `inner.widht`; the fields are: `width`, `colour`"),
        ({"dueAT": 1}, "unknown field `dueAT`: did you mean `dueAt`? The fields are: `inner`, `inners`, `colours`, "),
        ({"count": "x"}, "`count`: expected `int | null`, got `str`"),
        ({"count": 6}, "`count`: expected `int` <= 5"),
        ({"inners": [{"width": 1}, {"width": 1, "colour": "pink"}]}, "`inners[1].colour`: unknown value 'pink'; {}"),
        ({"colours": {"a": "pink"}}, "`colours[...]`: unknown value 'pink'; {}"),
        ({"keys": {"pink": 1}}, "`keys`: unknown value 'pink'; {}"),
        ({"pair": [1, "pink"]}, "`pair[1]`: unknown value 'pink'; {}"),
        ({"anyPairs": ["red", "pink"]}, "`anyPairs[1]`: unknown value 'pink'; {}"),
        ({"typed": {"colour": "pink"}}, "`typed.colour`: unknown value 'pink'; {}"),
        ({"plain": {"colour": "pink"}}, "`plain.colour`: unknown value 'pink'; {}"),
        (
            {"either": "x"},
            "`either`: unknown value 'x'; the values are: 1, 2, succeeded, failed, timed_out, cancelled, abandoned",
        ),
        ({"dueAt": "soon"}, f"`dueAt`: expected a time with a time zone (RFC 3339), such as {TIME_EXAMPLE}"),
        ({"dueAt": 5}, f"`dueAt`: expected a time with a time zone (RFC 3339), such as {TIME_EXAMPLE}, got `int`"),
    ],
)
def test_a_fault_names_its_place_and_what_would_be_valid(value: Any, sentence: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(value, Outer)
    expected = sentence.format("the values are: red, green, blue")
    assert fault_of(caught.value, Outer).sentence()[: len(expected)] == expected


def test_the_example_of_a_time_is_valid() -> None:
    assert decode_task(b'{"name":"a","run_at":"%b"}' % TIME_EXAMPLE.encode()).run_at is not None


@pytest.mark.parametrize(
    ("task", "field", "detail"),
    [
        ({"on_conflict": "x"}, "on_conflict", "unknown value 'x'; the values are: reject, join, latest, supersede"),
        ({"on_crash": "x"}, "on_crash", "unknown value 'x'; the values are: rerun, fail"),
        ({"run_at": "tomorrow"}, "run_at", f"expected a time with a time zone (RFC 3339), such as {TIME_EXAMPLE}"),
        ({"run_at": "2030-01-31"}, "run_at", f"expected a time with a time zone (RFC 3339), such as {TIME_EXAMPLE}"),
        (
            {"run_at": "2030-01-31T08:00:00"},
            "run_at",
            f"expected a time with a time zone (RFC 3339), such as {TIME_EXAMPLE}",
        ),
        ({"retries": "1"}, "retries", "expected `int`, got `str`"),
    ],
)
def test_a_submit_is_refused_with_what_would_be_valid(task: dict[str, Any], field: str, detail: str) -> None:
    with pytest.raises(InvalidTaskError) as caught:
        decode_batch(msgspec.json.encode([{"name": "a", **task}]), tasks_max=1)
    [error] = caught.value.errors
    assert (error.field, error.detail) == (field, f"`{field}`: {detail}")


def _query(kind: type[msgspec.Struct], **values: str) -> Callable[[], object]:
    return lambda: decode_query({name: [value] for name, value in values.items()}, kind)


def _config(**flags: str) -> Callable[[], object]:
    return lambda: load_config(file=None, environment={}, flags=flags)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            _query(SubmitQuery, verdicts="x"),
            "'x' of the query parameter `verdicts`: the values are: all, refused, none",
        ),
        (_query(TasksQuery, state="x"), "the values are: scheduled, pending, running, finished"),
        (
            _query(TasksQuery, limt="1"),
            "unknown query parameter `limt`: did you mean `limit`? The query parameters are: ",
        ),
        (_config(log_level="loud"), "--log-level cannot be 'loud': the values are: debug, info, warning, error"),
        (_config(pol_size="5"), "is not a setting: did you mean `pool_size`? The settings are: "),
        (
            lambda: table_from({"widht": 1}, Inner, "handlers.x"),
            "unknown key `widht` in [handlers.x]: did you mean `width`?",
        ),
        (lambda: table_from({}, Inner, "handlers.x"), "handlers.x: `width` is required"),
        (
            lambda: table_from({"width": 1, "colour": "pink"}, Inner, "handlers.x"),
            "handlers.x.colour: unknown value 'pink'; the values are: red, green, blue",
        ),
    ],
)
def test_queries_and_settings_are_refused_with_what_would_be_valid(call: Callable[[], object], message: str) -> None:
    with pytest.raises((BadRequestError, ConfigError)) as caught:
        call()
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("body", "kind", "sentence"),
    [
        (b"{", Any, "the body is not valid JSON: Input data was truncated"),
        (b"x", Any, "the body is not valid JSON: invalid character (byte 0)"),
        (b'"\xff"', Any, "the body is not UTF-8"),
        (b"[" * 5000, Any, "the body is nested too deeply"),
        (b"[]", Task, "the body: expected `object`, got `array`"),
        (b"{}", Task, "the body: `name` is required"),
    ],
)
def test_malformed_json_is_named_once(body: bytes, kind: Any, sentence: str) -> None:
    with pytest.raises((ValueError, RecursionError)) as caught:
        msgspec.json.decode(body, type=kind)
    assert malformed(caught.value, "the body") == sentence


def test_other_errors_keep_their_words() -> None:
    assert error_words(ValueError("`x` is odd")) == "`x` is odd"


def test_an_unknown_name_of_any_length_is_shown_in_part() -> None:
    assert unknown("field", "x" * 1000, []) == f"unknown field `{'x' * 100}`; there are no fields"


def test_no_other_module_reads_the_messages_of_msgspec() -> None:
    words = re.compile(r"Invalid enum|Object (?:missing|contains)|RFC3339|\"Expected|'Expected| - at `")
    package = Path(pexecutor.__file__).parent
    readers = {path.name for path in package.rglob("*.py") if words.search(path.read_text(encoding="utf-8"))}
    assert readers == {"validation.py"}
