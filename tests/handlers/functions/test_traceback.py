"""The traceback of a function on Trio or in a thread appears in the log of its attempt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import pytest
import trio

from pexecutor import Context, HandlerFailedError, Task
from pexecutor.handlers.functions.function import FunctionHandler
from pexecutor.handlers.functions.traceback_text import traceback_text
from pexecutor.values import ERROR_BYTES_MAX

from ...hostile import FalseGroup, RaisesAtEverything
from . import functions


def host_of(settings: dict[str, str]) -> str:
    try:
        return settings["host"]
    except KeyError as error:
        raise LookupError("no host") from error


async def on_trio(_context: Context) -> str:
    return host_of({})


def in_a_thread(_context: Context) -> str:
    return host_of({})


async def fails_on_purpose(_context: Context) -> NoReturn:
    raise HandlerFailedError("no such image")


async def is_cut_off(_context: Context) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        await trio.sleep_forever()


def handler_of(function: Callable[..., Any]) -> FunctionHandler:
    return FunctionHandler(function, __name__, function.__name__, process=False)


@pytest.mark.parametrize("function", [on_trio, in_a_thread])
async def test_a_traceback_begins_at_the_function(context: Context, function: Callable[..., Any]) -> None:
    with pytest.raises(LookupError):
        await handler_of(function).run(context, Task("a"))
    lines = context.output.snapshot().log.splitlines()
    assert [line for line in lines if not line.startswith("    ")] == [
        "Traceback (most recent call last):",
        f'  File "{__file__}", line {host_of.__code__.co_firstlineno + 2}, in host_of',
        "KeyError: 'host'",
        "",
        "The above exception was the direct cause of the following exception:",
        "",
        "Traceback (most recent call last):",
        f'  File "{__file__}", line {function.__code__.co_firstlineno + 1}, in {function.__name__}',
        f'  File "{__file__}", line {host_of.__code__.co_firstlineno + 4}, in host_of',
        "LookupError: no host",
    ]
    assert '    return settings["host"]' in lines


async def test_a_failure_on_purpose_has_no_traceback(context: Context) -> None:
    with pytest.raises(HandlerFailedError):
        await handler_of(fails_on_purpose).run(context, Task("a"))
    assert context.snapshot() is None


async def test_an_attempt_that_is_cut_off_has_no_traceback(autojump_clock: object, context: Context) -> None:
    with trio.move_on_after(1):
        await handler_of(is_cut_off).run(context, Task("a"))
    assert context.snapshot() is None


def _chain(length: int) -> BaseException:
    error = ValueError("first")
    for number in range(length):
        error, error.__context__ = ValueError(str(number)), error
    return error


def _deep() -> BaseException:
    error: BaseException = ValueError("deepest")
    for _ in range(1000):
        error = BaseExceptionGroup("deeper", [error])
    return error


@pytest.mark.parametrize(
    ("error", "lines"),
    [
        (_chain(5000), 5 * 2 + 4 * 3),
        (_deep(), 2),
        (BaseExceptionGroup("large", [ValueError("x" * 1000) for _ in range(30_000)]), 3 * 2 + 2),
        (FalseGroup("false", [ValueError("true")]), 2),
    ],
    ids=["chain", "deep", "large", "false"],
)
def test_a_traceback_is_bounded(error: BaseException, lines: int) -> None:
    text = traceback_text(error)
    assert len(text.splitlines()) == lines
    assert len(text.encode()) <= ERROR_BYTES_MAX


def test_only_the_last_frames_are_shown() -> None:
    def descend(levels: int) -> NoReturn:
        if levels:
            descend(levels - 1)
        raise RaisesAtEverything

    with pytest.raises(RaisesAtEverything) as caught:
        descend(100)
    text = traceback_text(caught.value)
    assert text.count("in descend") <= 20
    assert text.endswith("RaisesAtEverything: <RaisesAtEverything: str() raised SystemExit>")


async def test_a_process_of_its_own_writes_the_same_to_its_standard_error(context: Context) -> None:
    handler = FunctionHandler(functions.apart, functions.__name__, "apart", process=True)
    with pytest.raises(HandlerFailedError, match="no such image"):
        await handler.run(context, Task("a", params={"do": "raise"}))
    printed, begin, frame, _, error = context.output.snapshot().stderr.splitlines()
    assert (printed, begin) == ("complained", "Traceback (most recent call last):")
    assert frame.startswith(f'  File "{functions.__file__}"')
    assert error == "LookupError: no such image"
