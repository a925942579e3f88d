"""Each default and each limit is defined in one place only."""

from __future__ import annotations

import ast
import operator
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
import pytest

from pexecutor import Task
from pexecutor.handlers.output import TAIL_BYTES_MAX
from pexecutor.limits.defaults import PAGE_RECORDS_MAX
from pexecutor.limits.times import STOP_MARGIN_SECONDS, WAIT_FOR_ROOM_SECONDS_MAX, WAIT_SECONDS_MAX
from pexecutor.task import NAME_BYTES_MAX, PARAMS_BYTES_MAX, SPAN_MS_MAX
from pexecutor.values import ERROR_BYTES_MAX, RESULT_BYTES_MAX

from .page import page
from .test_tidy import MODULES, PACKAGE

SMALL: Final = {0, 1}
"""Numbers that the rules ignore."""

OPERATORS: Final[dict[type[ast.operator], Callable[[float, float], float]]] = {
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Pow: operator.pow,
}


def number_in(node: ast.expr | None) -> float | None:
    """Return the value of a number that is written out, like ``7 * 24 * 60 * 60``, or ``None``."""
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return value
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            one, other = number_in(left), number_in(right)
            return None if one is None or other is None else OPERATORS[type(op)](one, other)
    return None


def numbers_named(tree: ast.Module) -> Iterator[tuple[str, float]]:
    """Yield the numbers that are constants, defaults of fields or defaults of parameters, with their names."""
    for node in ast.walk(tree):
        named: list[tuple[str, ast.expr | None]] = []
        match node:
            case ast.AnnAssign(target=ast.Name(id=name)):
                named = [(name, node.value)]
            case ast.Assign(targets=[ast.Name(id=name)]):
                named = [(name, node.value)]
            case ast.arguments():
                positional = [*node.posonlyargs, *node.args]
                defaults = [None] * (len(positional) - len(node.defaults)) + node.defaults
                named = [(each.arg, default) for each, default in zip(positional, defaults, strict=True)]
                named += [(each.arg, default) for each, default in zip(node.kwonlyargs, node.kw_defaults, strict=True)]
        for name, value in named:
            if (number := number_in(value)) is not None and number not in SMALL:
                yield name.lower().strip("_"), number


def copies_in(texts: dict[str, str]) -> dict[tuple[str, float], list[str]]:
    """Return the numbers that several modules define under one name, with the modules."""
    written: dict[tuple[str, float], set[str]] = defaultdict(set)
    for module, text in texts.items():
        for rule in numbers_named(ast.parse(text)):
            written[rule].add(module)
    return {rule: sorted(modules) for rule, modules in written.items() if len(modules) > 1}


def test_a_default_or_a_limit_is_written_once() -> None:
    texts = {str(module.relative_to(PACKAGE)): module.read_text(encoding="utf-8") for module in MODULES}
    assert not copies_in(texts), "write the number once, in pexecutor/limits or above its users, and import it"


def test_a_copy_is_found_however_it_is_written() -> None:
    one = "WEEK_SECONDS: Final = 7 * 24 * 60 * 60\nPOOL_SIZE = 5"
    other = "def run(a, week_seconds=604_800.0, *, pool_size=5, other=6): ...\n_pool_size: int = 7"
    assert copies_in({"one": one, "other": other}) == {
        ("week_seconds", 604_800): ["one", "other"],
        ("pool_size", 5): ["one", "other"],
    }


def bounds_of(kind: Any) -> Iterator[int]:
    """Yield the minimum and maximum of an integer field, whether or not the field is optional."""
    for member in getattr(kind, "types", [kind]):
        if isinstance(member, msgspec.inspect.IntType):
            yield from (bound for bound in (member.ge, member.le) if bound is not None)


TASK = msgspec.inspect.type_info(Task)
assert isinstance(TASK, msgspec.inspect.StructType)


@pytest.mark.parametrize("field", TASK.fields, ids=lambda field: field.name)
def test_the_bounds_and_the_default_of_a_field_are_documented(field: msgspec.inspect.Field) -> None:
    _, meaning = page("reference/tasks").rows[field.name]
    words = ["seven days" if bound == SPAN_MS_MAX else str(bound) for bound in bounds_of(field.type)]
    if isinstance(field.default, int | str):
        words.append(f"{field.default}")
    assert [word for word in words if word not in meaning.replace(",", "")] == []


@pytest.mark.parametrize(
    ("where", "phrase"),
    [
        ("reference/tasks", f"1 to {NAME_BYTES_MAX} bytes of UTF-8"),
        ("reference/tasks", f"to {PARAMS_BYTES_MAX // 1024} KiB of JSON"),
        ("reference/tasks", f"the last {TAIL_BYTES_MAX // 1024} KiB are kept"),
        ("reference/handlers", f"as JSON of at most {RESULT_BYTES_MAX // 1024} KiB"),
        ("reference/handlers", f"At most {ERROR_BYTES_MAX // 1024} KiB of UTF-8"),
        ("reference/http-api", f"Seconds, up to {WAIT_FOR_ROOM_SECONDS_MAX}, to wait for room"),
        ("reference/http-api", f"Seconds, up to {WAIT_SECONDS_MAX}, to wait for the outcome"),
        ("reference/http-api", f"Records in a page: 1 to {PAGE_RECORDS_MAX} (default)"),
        ("explanation/stop", f"the drain timeout and {STOP_MARGIN_SECONDS:g} seconds more"),
    ],
)
def test_a_limit_is_documented_as_it_is(where: str, phrase: str) -> None:
    assert phrase in " ".join(page(where).text.split())
