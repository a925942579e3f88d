"""Handlers that create a file when they begin, wait for another file, and then wait for some time."""

from __future__ import annotations

import time
from pathlib import Path

import trio

from pexecutor import Context, handler


@handler
async def coroutine(context: Context, *, begun: str, file: str, seconds: float) -> None:
    await trio.Path(begun).touch()
    while not await trio.Path(file).exists():  # noqa: ASYNC110
        await trio.sleep(0.05)
    await trio.sleep(seconds)


@handler
def thread(context: Context, *, begun: str, file: str, seconds: float) -> None:
    Path(begun).touch()
    while not Path(file).exists():
        time.sleep(0.05)
    time.sleep(seconds)
