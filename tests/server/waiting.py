"""Handlers that wait for a file, and then for some time."""

from __future__ import annotations

import time
from pathlib import Path

import trio

from pexecutor import Context, handler


@handler
async def coroutine(context: Context, *, file: str, seconds: float) -> None:
    while not await trio.Path(file).exists():  # noqa: ASYNC110
        await trio.sleep(0.05)
    await trio.sleep(seconds)


@handler
def thread(context: Context, *, file: str, seconds: float) -> None:
    while not Path(file).exists():
        time.sleep(0.05)
    time.sleep(seconds)
