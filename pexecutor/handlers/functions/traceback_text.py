"""Format the traceback of an exception that a function has raised, for the log of its attempt.

The standard library formats the whole of an exception: a group of a million exceptions, or a chain of a thousand, takes
seconds or fails, and the exception's own code may raise. Here every number is bounded, and the exception's own code is
called only through ``values``.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from itertools import dropwhile
from types import FrameType, TracebackType
from typing import Any, Final

import trio

from ...values import call_safely, error_text, leaf_exceptions, named_text

FRAMES_MAX: Final = 20
"""How many of the last frames of each exception are shown."""

CHAIN_MAX: Final = 5
"""How many exceptions of a chain of causes are shown."""

GROUP_ERRORS_MAX: Final = 3
"""How many exceptions of a group are shown."""

_OURS: Final = ("pexecutor", "trio")
"""Packages whose frames are omitted at the beginning of a traceback: they only call the function."""


def traceback_text(error: BaseException) -> str:
    """Return the traceback of an exception, in at most ``ERROR_BYTES_MAX`` bytes; empty for a mere ``Cancelled``."""
    return call_safely(_text, error, lambda _: "")


def _text(error: BaseException) -> str:
    leaves = [leaf for leaf in leaf_exceptions(error) if not issubclass(type(leaf), trio.Cancelled)]
    return error_text("\n\n".join(_chain_text(leaf) for leaf in leaves[:GROUP_ERRORS_MAX]))


def _chain_text(error: BaseException) -> str:
    """Return the tracebacks of an exception and of its causes, the first cause first, as Python prints them."""
    shown = [_one_text(error)]
    for cause, sentence in _causes(error):
        shown[:0] = [_one_text(cause), f"\n{sentence}:\n"]
    return "\n".join(shown)


def _causes(error: BaseException) -> Iterator[tuple[BaseException, str]]:
    """Yield the causes of an exception, the last cause first."""
    for _ in range(CHAIN_MAX - 1):
        if (cause := _member("__cause__", error)) is not None:
            sentence = "The above exception was the direct cause of the following exception"
        elif not _member("__suppress_context__", error) and (cause := _member("__context__", error)) is not None:
            sentence = "During handling of the above exception, another exception occurred"
        else:
            return
        yield cause, sentence
        error = cause


def _one_text(error: BaseException) -> str:
    frames = dropwhile(_is_ours, traceback.walk_tb(_member("__traceback__", error)))
    summary = traceback.StackSummary.extract(frames, limit=-FRAMES_MAX)
    return f"Traceback (most recent call last):\n{''.join(summary.format())}{named_text(error)}"


def _is_ours(frame: tuple[FrameType, int]) -> bool:
    return str(frame[0].f_globals.get("__name__")).partition(".")[0] in _OURS


def _member(name: str, error: BaseException) -> Any:
    """Return an attribute of an exception as ``BaseException`` defines it; a subclass may have overridden it."""
    member: TracebackType | BaseException | bool | None = BaseException.__dict__[name].__get__(error)
    return member
