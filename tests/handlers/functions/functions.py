"""Handlers for the tests of function handlers."""

from __future__ import annotations

import os
import sys
import time
from enum import StrEnum
from typing import Annotated, Any

import msgspec
import trio

from pexecutor import Context, handler


class Mode(StrEnum):
    FIT = "fit"
    FILL = "fill"


@handler
async def resize(
    context: Context, *, image: str, width: Annotated[int, msgspec.Meta(ge=1)] = 100, mode: Mode = Mode.FIT
) -> dict[str, Any]:
    """Resizes an image.

    Not really.
    """
    context.progress(1, 2)
    context.log("half way")
    await trio.lowlevel.checkpoint()
    context.progress(2)
    return {"image": image, "width": width, "mode": mode, "attempt": context.attempt}


@handler(name="in-a-thread")
def in_a_thread(context: Context, seconds: float) -> str:
    context.log("in a thread")
    time.sleep(seconds)
    return "done"


@handler
def looks_out(context: Context) -> None:
    context.log("looking")
    while True:
        trio.from_thread.check_cancelled()
        time.sleep(0.01)


@handler(process=True)
def apart(context: Context, *, do: str) -> Any:
    """Runs in a process of its own."""
    context.progress(1, 3)
    context.log(f"{context.id} {context.name} {context.attempt}")
    sys.stdout.write("printed\n")
    sys.stderr.write("complained\n")
    match do:
        case "return":
            return {"pid": os.getpid()}
        case "raise":
            raise LookupError("no such image")
        case "die":
            os._exit(7)
        case "set":
            return {object()}
        case "block":
            sys.stdout.flush()
            if os.fork() == 0:
                time.sleep(600)
            time.sleep(600)
    return None


def not_declared(context: Context) -> None:
    """Never a handler."""
