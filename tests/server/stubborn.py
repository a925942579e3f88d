"""A server whose handler cannot be stopped, for the test of the stop's time limit."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time

import trio

from pexecutor import Task, server
from pexecutor.config import Config
from pexecutor.handlers import Catalogue, Context
from pexecutor.process import stop

from ..fakes import Doing

SECONDS = 600
AT_WORK = "at work\n"
LOCK_HELD = "holds the interpreter lock\n"


async def block_at_the_end(context: Context, task: Task) -> None:
    try:
        await trio.sleep_forever()
    finally:
        time.sleep(SECONDS)  # noqa: ASYNC251


async def block_from_the_start(context: Context, task: Task) -> None:
    time.sleep(SECONDS)  # noqa: ASYNC251


async def compute(context: Context, task: Task) -> None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        pass


async def ignore_cancels(context: Context, task: Task) -> None:
    with trio.CancelScope(shield=True):
        await trio.sleep_forever()


async def in_a_thread(context: Context, task: Task) -> None:
    await trio.to_thread.run_sync(time.sleep, SECONDS)


async def hold_the_interpreter(context: Context, task: Task) -> None:
    await trio.to_thread.run_sync(_hold)


def _hold() -> None:
    sys.setswitchinterval(SECONDS)
    ctypes.PyDLL(None).dprintf(2, LOCK_HELD.encode())  # a function called through PyDLL keeps the interpreter's lock
    ctypes.PyDLL(None).sleep(SECONDS)


async def leave_a_thread(context: Context, task: Task) -> None:
    threading.Thread(target=time.sleep, args=[SECONDS]).start()
    await trio.sleep_forever()


WORK = {
    "blocks at the end": block_at_the_end,
    "blocks from the start": block_from_the_start,
    "computes": compute,
    "ignores cancels": ignore_cancels,
    "in a thread": in_a_thread,
    "holds the interpreter": hold_the_interpreter,
    "leaves a thread": leave_a_thread,
}


def main() -> None:
    stop.STOP_MARGIN_SECONDS = 2.0  # type: ignore[attr-defined]
    config = Config(port=0, store="memory", drain_timeout_seconds=0.1)
    handlers = Catalogue({"sleep": Doing(_begin)})
    with stop.StopBound(config.drain_timeout_seconds) as bound:
        trio.run(lambda: server.serve(config, announce=_announce, handlers=handlers, bound=bound))


async def _begin(context: Context, task: Task) -> None:
    os.write(2, AT_WORK.encode())
    await WORK[sys.argv[1]](context, task)


def _announce(url: str) -> None:
    sys.stdout.write(f"serves at {url}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
