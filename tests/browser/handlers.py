"""Handlers that the dashboard shows in tests."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import trio
from msgspec import Meta

import pexecutor

BURST_SECONDS = 0.1


class Size(msgspec.Struct):
    """A size in pixels."""

    width: Annotated[int, Meta(ge=1, le=10_000)] = 800
    height: int | None = None


@pexecutor.handler
async def encode(context: pexecutor.Context, *, frames: int = 200, seconds: float = 600) -> str:
    """Encodes a film, frame by frame"""
    for frame in range(1, frames + 1):
        context.progress(frame, frames)
        context.log(f"frame {frame} of {frames}")
        await trio.sleep(seconds / frames)
    return "encoded"


@pexecutor.handler
async def fail(context: pexecutor.Context, *, message: str = "there is no such table: customers") -> None:
    """Fails"""
    context.log("\x1b[1;34m==>\x1b[0m reading the customers")
    raise LookupError(message)


@pexecutor.handler
async def build(context: pexecutor.Context, *, seconds: float = 3600, fails: bool = False) -> str:
    """Prints what a build prints, with colours"""
    context.log(
        "\x1b[1;34m==>\x1b[0m \x1b[1mcloning web\x1b[0m \x1b[2m(refs/heads/feature/checkout-redesign, 4f1c2ab)\x1b[0m"
    )
    context.log("Receiving objects: 100% (18204/18204), 41.2 MiB | 22.8 MiB/s, done.")
    context.log("\x1b[33mnpm warn\x1b[0m deprecated inflight@1.0.6: this module is not supported, and leaks memory")
    context.log("\x1b[33mnpm warn\x1b[0m deprecated glob@7.2.3: versions before 9 are no longer supported")
    context.log("\x1b[1;34m==>\x1b[0m \x1b[1mtest\x1b[0m \x1b[2m--shard 1/1 --reporter dot\x1b[0m")
    for number in range(40):
        context.log(f"\x1b[32mPASS\x1b[0m src/cart/totals-{number}.test.ts \x1b[2m(48 tests, 1.2 s)\x1b[0m")
    context.log("\x1b[31mFAIL\x1b[0m src/checkout/coupon.test.ts \x1b[2m(1 of 12 failed, 0.4 s)\x1b[0m")
    context.log(
        "  <script>alert(1)</script> expected \x1b[32m€ 40.00\x1b[0m, got \x1b[31m€ 36.00\x1b[0m "
        + "very " * 40
        + "long"
    )
    await trio.sleep(seconds)
    if fails:
        raise RuntimeError("exit code 1: the build failed")
    return "built"


@pexecutor.handler
async def talk(context: pexecutor.Context, *, lines_per_second: int = 5000, seconds: float = 60) -> None:
    """Logs many lines a second"""
    line = 0
    with trio.move_on_after(seconds):
        while True:
            for _ in range(int(lines_per_second * BURST_SECONDS)):
                line += 1
                context.log(f"line {line} of many that are logged")
            await trio.sleep(BURST_SECONDS)


@pexecutor.handler
async def resize(
    context: pexecutor.Context,
    *,
    path: str,
    size: Size,
    kind: Literal["jpeg", "webp"] = "jpeg",
    tags: list[str] | None = None,
    either: int | str = 1,
    quality: Annotated[int, Meta(ge=1, le=100, description="1 to 100; the higher, the larger the file")] = 80,
    keep_original: bool = True,
) -> dict[str, object]:
    """Resizes a picture"""
    context.log(f"resizing {path}")
    await trio.sleep(0.05)
    return {"path": path, "width": size.width, "kind": kind, "tags": tags, "either": either}
