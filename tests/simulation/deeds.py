"""What handlers may do to the program: raise anything, return anything, report anything, and leave anything open.

Each deed is listed with how its attempt has to end if nothing cuts it off. A seed draws from the list, so the texts and
numbers in here are always the same.
"""

from __future__ import annotations

import asyncio
import errno
import math
import os
from collections.abc import Awaitable, Callable
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any, Final, NamedTuple

import msgspec
import trio

from pexecutor import Outcome
from pexecutor.handlers import Context, HandlerFailedError

from ..hostile import Endless, FalseGroup, Liar, NoText, RaisesAtEverything

Act = Callable[[Context], Awaitable[object]]


class Given(NamedTuple):
    """How an attempt has to end.

    Parameters:
        outcome: its outcome.
        error: a part of its error.
        retryable: whether it may be tried again.
    """

    outcome: Outcome
    error: str = ""
    retryable: bool = True


class Deed(NamedTuple):
    """What a handler does, and what it has to come to."""

    act: Act
    given: Given


class ByChance(BaseException):
    """An exception that is no ``Exception``."""


def raising(make: Callable[[], BaseException], error: str, *, retryable: bool = True) -> Deed:
    """A handler that raises."""

    async def act(_: Context) -> object:
        await trio.lowlevel.checkpoint()
        raise make()

    return Deed(act, Given(Outcome.FAILED, error, retryable))


def returning(make: Callable[[], object], error: str = "") -> Deed:
    """A handler that returns a value, which is no JSON if an error is given."""

    async def act(_: Context) -> object:
        await trio.lowlevel.checkpoint()
        return make()

    return Deed(act, Given(Outcome.FAILED, error, retryable=False) if error else Given(Outcome.SUCCEEDED))


def reporting(report: Callable[[Context], object], error: str = "") -> Deed:
    """A handler that reports progress or the like, and goes on for a while."""

    async def act(context: Context) -> object:
        report(context)
        await trio.sleep(0.5)
        return None

    return Deed(act, Given(Outcome.FAILED, error) if error else Given(Outcome.SUCCEEDED))


def leaving(enter: Act, error: str) -> Deed:
    """A handler that leaves something open."""
    return Deed(enter, Given(Outcome.FAILED, error))


def no_descriptors() -> OSError:
    """The error of an open that finds no free descriptor."""
    return OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def _later(seconds: Any) -> Callable[[], BaseException]:
    return lambda: HandlerFailedError("come again", retry_after_seconds=seconds)


def _circle() -> list[Any]:
    circle: list[Any] = []
    circle.append(circle)
    return circle


async def _leave_a_scope(_: Context) -> object:
    trio.CancelScope().__enter__()
    return "done"


async def _leave_a_cancelled_scope(_: Context) -> object:
    trio.CancelScope().__enter__().cancel()
    return "done"


async def _leave_a_nursery(_: Context) -> object:
    nursery = await trio.open_nursery().__aenter__()
    nursery.start_soon(trio.sleep_forever)
    return "done"


async def _fail() -> None:  # at once, so that no cancel comes first
    raise SystemExit(4)


async def _start_a_system_task(_: Context) -> object:
    trio.lowlevel.spawn_system_task(_fail)
    await trio.sleep(0.1)
    return "done"


async def _start_a_task_around(_: Context) -> object:
    around = trio.lowlevel.current_task().parent_nursery
    assert around is not None
    around.start_soon(_fail)
    return "done"


def _set_exit_code(context: Context) -> None:
    context.output.exit_code = "none"  # type: ignore[assignment]  # as any function may
    context.output.status = 10**30


DEEDS: Final = [
    raising(lambda: LookupError("by chance"), "by chance"),
    raising(lambda: HandlerFailedError("for good", retryable=False), "for good", retryable=False),
    raising(lambda: SystemExit(3), "SystemExit: 3"),
    raising(lambda: KeyboardInterrupt("by chance"), "KeyboardInterrupt: by chance"),
    raising(lambda: GeneratorExit("by chance"), "GeneratorExit"),
    raising(asyncio.CancelledError, "CancelledError"),
    raising(lambda: ByChance("odd"), "ByChance: odd"),
    raising(trio.Cancelled._create, "Cancelled"),
    raising(lambda: StopIteration("by chance"), "StopIteration"),
    raising(lambda: StopAsyncIteration("by chance"), "StopAsyncIteration"),
    raising(lambda: MemoryError("by chance"), "by chance"),
    raising(no_descriptors, "Too many open files"),
    raising(lambda: BaseExceptionGroup("some", [LookupError("a"), SystemExit(3)]), "SystemExit: 3"),
    raising(lambda: BaseExceptionGroup("some", [ExceptionGroup("more", [LookupError("by chance")])]), "by chance"),
    raising(lambda: BaseExceptionGroup("some", [trio.Cancelled._create(), LookupError("odd")]), "odd"),
    raising(lambda: FalseGroup("some", [ValueError("by chance")]), "by chance"),
    raising(lambda: LookupError(os.fsdecode(b"caf\xe9.txt")), "caf\\udce9.txt"),
    raising(lambda: LookupError("\0 and \x1b[31mred"), "\\x00 and \\x1b[31mred"),
    raising(lambda: LookupError("x" * 300_000), "is omitted"),
    raising(lambda: LookupError("\udce9" * 9000), "is omitted"),
    raising(lambda: LookupError(Liar("a lie")), "a lie"),
    raising(RaisesAtEverything, "str() raised "),
    raising(NoText, "str() raised "),
    raising(Endless, "str() raised "),
    raising(_later(math.nan), "come again"),
    raising(_later(-5), "come again"),
    raising(_later("5"), "come again"),
    raising(_later(object()), "come again"),
    raising(_later(RaisesAtEverything()), "come again"),
    returning(lambda: math.nan),
    returning(lambda: msgspec.Raw(b"[\n1]")),
    returning(object, "is not JSON"),
    returning(lambda: 10**400),
    returning(lambda: "caf\udce9", "is not JSON"),
    returning(lambda: msgspec.Raw(b"{"), "is not JSON"),
    returning(_circle, "is not JSON"),
    returning(RaisesAtEverything, "is not JSON"),
    returning(lambda: "x" * 100_000, "has 100002 bytes"),
    reporting(lambda context: context.progress(Fraction(1, 2), Decimal(4))),  # type: ignore[arg-type]
    reporting(lambda context: context.progress(10**15, 1e300)),
    reporting(lambda context: context.progress(math.nan), "progress must be"),
    reporting(lambda context: context.progress(-1, 4), "progress must be"),
    reporting(lambda context: context.progress("half"), "progress must be"),  # type: ignore[arg-type]
    reporting(lambda context: context.log("caf\udce9 \0 \x1b[31m" * 9000)),
    reporting(lambda context: context.log(RaisesAtEverything())),
    reporting(_set_exit_code),
    leaving(_leave_a_scope, "left a cancel scope open"),
    leaving(_leave_a_cancelled_scope, "left a cancel scope open"),
    leaving(_leave_a_nursery, "left a nursery open"),
    leaving(_start_a_task_around, "SystemExit: 4"),
]

DEEDS_ALONE: Final = [
    raising(_later(math.inf), "come again"),
    raising(_later(1e12), "come again"),
    leaving(_start_a_system_task, "SystemExit: 4"),
]
"""Those that take days, as they ask for the longest wait, or that concern whoever shares the run of Trio."""


def draw(chance: Random, *, alone: bool) -> Deed:
    """Draw a deed.

    Parameters:
        chance: draws it.
        alone: whether there is one executor in the run of Trio, and time for waits of days.
    """
    return chance.choice([*DEEDS, *DEEDS_ALONE] if alone else DEEDS)
