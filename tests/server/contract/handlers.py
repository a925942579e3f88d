"""Handlers of the server under test in addition to ``sleep``: one function for each kind of params."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

import pexecutor


class Box(Struct):
    """Where to cut."""

    left: int
    width: Annotated[int, Meta(ge=1, le=10_000)]


@pexecutor.handler
async def crop(
    context: pexecutor.Context, *, image: str, boxes: list[Box], mode: Literal["fit", "fill"] = "fit"
) -> int:
    """Cuts pieces out of an image."""
    return len(boxes)


@pexecutor.handler
async def tidy(context: pexecutor.Context, *, days: int = 7) -> None:
    """Removes what is old."""
