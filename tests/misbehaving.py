"""Everything that a handler may do. Each entry of ``DEEDS`` is run in a Trio task and in a thread.

A deed is a function of the context, with the expected record: a result, or a part of the error.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, NamedTuple, NoReturn

import msgspec
import trio

from pexecutor import Context, HandlerFailedError, handler

from .hostile import Endless, FalseGroup, Liar, NamelessClass, NoText, RaisesAtEverything


class OwnError(BaseException):
    """An exception that is not a subclass of ``Exception``."""


class UnfinishedError(HandlerFailedError):
    """An exception whose ``__init__`` does not set its attributes."""

    def __init__(self) -> None:
        pass


@dataclass
class RaisesWhenRead:
    """A result whose parts cannot be read."""

    @property
    def value(self) -> NoReturn:
        raise SystemExit(5)


class Meddling(msgspec.Struct):
    value: Any


class Deed(NamedTuple):
    do: Callable[[Context], Any]
    result: str | None = None
    error: str | None = None
    later: bool = False
    """True if the task waits for a retry afterwards."""


NAMELESS: Any = NamelessClass("Nameless", (BaseException,), {})


def raises(error: BaseException | type[BaseException]) -> Callable[[Context], NoReturn]:
    def do(_: Context) -> NoReturn:
        raise error() if isinstance(error, type) else error

    return do


def fails(error: BaseException | type[BaseException], text: str) -> Deed:
    return Deed(raises(error), error=text)


def retries(seconds: Any, *, later: bool) -> Deed:
    return Deed(raises(HandlerFailedError("later", retry_after_seconds=seconds)), error="later", later=later)


def returns(result: Any, text: str) -> Deed:
    return Deed(lambda _: result, result=text)


def is_refused(result: Any) -> Deed:
    return Deed(lambda _: result, error="the handler's result ")


def tells(*numbers: Any) -> Deed:
    return Deed(lambda context: context.progress(*numbers), result="null")


def deep(levels: int) -> list[Any]:
    nested: list[Any] = []
    for _ in range(levels):
        nested = [nested]
    return nested


def circle() -> list[Any]:
    nested: list[Any] = []
    nested.append(nested)
    return nested


def meddle(context: Context) -> None:
    """Modify attributes that a function should not touch."""
    context.output.exit_code = Liar("x")  # type: ignore[assignment]
    context.output.status = 2**70
    context.deadline = "soon"  # type: ignore[assignment]
    context.name = "\udce9"


def raise_a_cancel(_: Context) -> NoReturn:
    raise trio.Cancelled._create(source="unknown", reason="made up")


DEEDS: Final[dict[str, Deed]] = {
    "exit": fails(SystemExit(3), "SystemExit: 3"),
    "exit with a text": fails(SystemExit("no such image"), "SystemExit: no such image"),
    "interrupt": fails(KeyboardInterrupt, "KeyboardInterrupt"),
    "generator exit": fails(GeneratorExit, "GeneratorExit"),
    "asyncio's cancel": fails(asyncio.CancelledError, "CancelledError"),
    "a cancel of its own": Deed(raise_a_cancel, error="Cancelled"),
    "own": fails(OwnError("own"), "OwnError: own"),
    "stop iteration": fails(StopIteration("it"), "StopIteration: it"),
    "stop async iteration": fails(StopAsyncIteration, "StopAsyncIteration"),
    "memory": fails(MemoryError, "MemoryError"),
    "recursion": fails(RecursionError("too deep"), "too deep"),
    "no text": fails(ValueError, "ValueError"),
    "group": fails(BaseExceptionGroup("g", [ValueError("v"), SystemExit(1)]), "SystemExit: 1; ValueError: v"),
    "nested group": fails(BaseExceptionGroup("g", [BaseExceptionGroup("h", [OwnError("deep")])]), "OwnError: deep"),
    "false group": fails(FalseGroup("g", [ValueError("true")]), "true"),
    "raises at everything": fails(RaisesAtEverything, "RaisesAtEverything"),
    "no string": fails(NoText, "NoText"),
    "endless": fails(Endless, "Endless"),
    "nameless": fails(NAMELESS, "Nameless"),
    "liar": fails(ValueError(Liar("a lie")), "a lie"),
    "surrogate": fails(FileNotFoundError(os.fsdecode(b"caf\xe9.txt")), r"caf\udce9.txt"),
    "nul and colours": fails(ValueError("\0 \x1b[31mred\x1b[0m"), r"\x00 \x1b[31mred\x1b[0m"),
    "large": fails(ValueError("<" + "ä" * 2_000_000 + ">"), "2000002 characters; the middle is omitted"),
    "final": fails(HandlerFailedError("never", retryable=False), "never"),
    "final in a group": fails(ExceptionGroup("g", [HandlerFailedError("never", retryable=False)]), "never"),
    "unfinished": fails(UnfinishedError, "UnfinishedError"),
    "retry: nan": retries(float("nan"), later=False),
    "retry: inf": retries(float("inf"), later=True),
    "retry: -5": retries(-5, later=False),
    "retry: 1e12": retries(1e12, later=True),
    "retry: a text": retries("500", later=True),
    "retry: Decimal": retries(Decimal("sNaN"), later=False),
    "retry: anything": retries(object(), later=False),
    "retryable: anything": fails(
        HandlerFailedError("odd", retryable=RaisesAtEverything),  # type: ignore[arg-type]
        "odd",
    ),
    "progress: Fraction": tells(Fraction(1, 3), Decimal(2)),
    "progress: large": tells(2**80, 10**300),
    "progress: bool": tells(True),
    "progress: nan": Deed(
        lambda context: context.progress(float("nan")), error="a finite number of at least 0, not nan"
    ),
    "progress: a text": Deed(lambda context: context.progress("1"), error="a finite number"),  # type: ignore[arg-type]
    "log: anything": Deed(lambda context: context.log(Endless()), result="null"),
    "log: surrogate": Deed(lambda context: context.log("\udce9\0\x1b"), result="null"),
    "log: large": Deed(lambda context: context.log("x" * 2_000_000), result="null"),
    "meddle": Deed(meddle, result="null"),
    "nan": returns([float("nan"), float("inf")], "[null,null]"),
    "large whole": returns(2**70, str(2**70)),
    "bytes and sets": returns([b"x", {1}], '["eA==",[1]]'),
    "raw": returns(msgspec.Raw(b'{"a":\n1}'), '{"a":1}'),
    "64 KiB": returns("x" * (64 * 1024 - 2), '"' + "x" * (64 * 1024 - 2) + '"'),
    "deep": returns(deep(200), "[" * 201 + "]" * 201),
    "too large": is_refused("x" * 2_000_000),
    "too deep": is_refused(deep(100_000)),
    "a circle": is_refused(circle()),
    "no json": is_refused(object()),
    "a broken raw": is_refused(msgspec.Raw(b"{")),
    "a surrogate": is_refused(["\udce9"]),
    "a key": is_refused({(1, 2): 3}),
    "an exception": is_refused(ValueError("not raised")),
    "a struct of anything": is_refused(Meddling(object())),
}


@handler
async def in_trio(context: Context, *, do: str) -> Any:
    """Run a deed in a Trio task."""
    await trio.lowlevel.checkpoint()
    return DEEDS[do].do(context)


@handler
async def in_trio_at_once(context: Context, *, do: str) -> Any:
    """Run a deed before any other Trio task runs."""
    return DEEDS[do].do(context)


@handler
def in_a_thread(context: Context, *, do: str) -> Any:
    """Run a deed in a thread."""
    return DEEDS[do].do(context)


assert sys.getrecursionlimit() < 100_000, "some deeds are too deep for Python"
