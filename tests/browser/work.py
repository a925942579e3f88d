"""Handlers that the dashboard shows in tests."""

from __future__ import annotations

from typing import Annotated, Literal

import trio
from msgspec import Meta

import pexecutor

LOG_LINES_AT_ONCE = 4000
"""More lines than a task's log keeps."""


@pexecutor.handler
async def steps(
    context: pexecutor.Context, *, count: int, unit: Literal["rows", "files"] = "rows", note: str | None = None
) -> str:
    """Goes on step by step"""
    for step in range(1, count + 1):
        context.progress(step, count)
        context.log(f"{step} of {count} {unit}")
        await trio.sleep(0.02)
    return note or "done"


@pexecutor.handler
async def fail(context: pexecutor.Context) -> None:
    """Fails"""
    raise LookupError("there is no such table")


@pexecutor.handler
async def talk(context: pexecutor.Context, *, count: int) -> None:
    """Logs more lines than are kept, and then goes on slowly"""
    for line in range(1, count + 1):
        context.log(f"line {line} of many that are logged")
        if line > LOG_LINES_AT_ONCE:
            await trio.sleep(0.05)


@pexecutor.handler
async def repeat(
    context: pexecutor.Context,
    *,
    either: int | str,
    tags: list[str] | None = None,
    width: Annotated[int, Meta(ge=1, le=10)] = 1,
) -> int | str:
    """Returns what it is given"""
    return either
