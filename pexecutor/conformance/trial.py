"""Trying guarantees on a subject: some side by side, each with its own place and a bound on its time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final

import msgspec
import trio

from ..errors import first_cause
from .guarantee import BrokenPromiseError, Guarantee, Subject

CHECK_SECONDS_MAX: Final = 15.0
CHECKS_AT_ONCE: Final = 8


class Standing(StrEnum):
    """How it stands with a guarantee."""

    HOLDS = "holds"
    BROKEN = "broken"
    DOES_NOT_APPLY = "does not apply"


class Finding(msgspec.Struct, frozen=True):
    """What came of trying a guarantee.

    Parameters:
        guarantee: which one.
        standing: how it stands with it.
        reason: what the store did instead, or why it does not apply; empty when it holds.
    """

    guarantee: Guarantee
    standing: Standing
    reason: str = ""


async def try_all(
    subject: Subject, guarantees: Sequence[Guarantee], *, tell: Callable[[Finding], None] = lambda _: None
) -> list[Finding]:
    """Try guarantees on an opened subject; the findings, in the order of the guarantees.

    Parameters:
        subject: the store.
        guarantees: what to try.
        tell: told of each finding when it is there.
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
    """Try one guarantee."""
    for need in sorted(guarantee.needs & subject.lacks.keys()):
        await trio.lowlevel.checkpoint()
        return Finding(guarantee, Standing.DOES_NOT_APPLY, subject.lacks[need])
    try:
        with trio.fail_after(CHECK_SECONDS_MAX):
            await guarantee.check(subject.place())
    except Exception as error:  # whatever a store under test raises
        return Finding(guarantee, Standing.BROKEN, _reason(error))
    return Finding(guarantee, Standing.HOLDS)


def _reason(error: BaseException) -> str:
    """The first cause, in a sentence."""
    match cause := first_cause(error):
        case BrokenPromiseError():
            return str(cause)
        case trio.TooSlowError():
            return f"it did not come to an end in {CHECK_SECONDS_MAX:g} s"
        case _:
            return f"the store raised {type(cause).__name__}: {cause}"
