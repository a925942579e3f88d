"""Trials of guarantees on a subject: some at the same time, each with its own place and a bounded time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final

import msgspec
import trio

from ..errors import first_cause
from .guarantee import BrokenPromiseError, Guarantee, Subject

CHECK_SECONDS_MAX: Final = 15.0
"""How long one check may take, in seconds."""

CHECKS_AT_ONCE: Final = 8
"""How many checks run at the same time."""


class Standing(StrEnum):
    """The result of trying a guarantee."""

    HOLDS = "holds"
    BROKEN = "broken"
    DOES_NOT_APPLY = "does not apply"


class Finding(msgspec.Struct, frozen=True):
    """A guarantee and the result of trying it.

    Parameters:
        guarantee: the guarantee.
        standing: the result.
        reason: what the store did instead, or why the guarantee does not apply; empty if it holds.
    """

    guarantee: Guarantee
    standing: Standing
    reason: str = ""


async def try_all(
    subject: Subject, guarantees: Sequence[Guarantee], *, tell: Callable[[Finding], None] = lambda _: None
) -> list[Finding]:
    """Try guarantees on an opened subject; return the findings in the order of the guarantees.

    Parameters:
        subject: the store under test.
        guarantees: the guarantees to try.
        tell: called with each finding as soon as it is known.
    """
    findings: dict[str, Finding] = {}
    limiter = trio.CapacityLimiter(CHECKS_AT_ONCE)

    async def find(guarantee: Guarantee) -> None:
        async with limiter:
            findings[guarantee.name] = finding = await try_one(subject, guarantee)
            tell(finding)

    async with trio.open_nursery() as nursery:
        for guarantee in guarantees:
            nursery.start_soon(find, guarantee)
    return [findings[guarantee.name] for guarantee in guarantees]


async def try_one(subject: Subject, guarantee: Guarantee) -> Finding:
    """Try one guarantee, and return the finding."""
    for need in sorted(guarantee.needs & subject.lacks.keys()):
        await trio.lowlevel.checkpoint()
        return Finding(guarantee, Standing.DOES_NOT_APPLY, subject.lacks[need])
    try:
        with trio.fail_after(CHECK_SECONDS_MAX):
            await guarantee.check(subject.place())
    except Exception as error:  # a store under test may raise anything
        return Finding(guarantee, Standing.BROKEN, _reason(error))
    return Finding(guarantee, Standing.HOLDS)


def _reason(error: BaseException) -> str:
    """Return the first cause of an error as a sentence."""
    match cause := first_cause(error):
        case BrokenPromiseError():
            return str(cause)
        case trio.TooSlowError():
            return f"the check did not end within {CHECK_SECONDS_MAX:g} s"
        case _:
            return f"the store raised {type(cause).__name__}: {cause}"
