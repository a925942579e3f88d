"""Handlers for the dashboard to show."""

from __future__ import annotations

from typing import Literal

import trio

import pexecutor


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
