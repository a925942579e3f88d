"""A server whose handler does not let itself be stopped, for the test of the stop's bound."""

from __future__ import annotations

import sys
import time

import trio

from pexecutor import Task, server
from pexecutor.config import Config
from pexecutor.handlers import Catalogue, Context

from ..fakes import Doing


async def block_the_loop(context: Context, task: Task) -> None:
    try:
        await trio.sleep_forever()
    finally:
        time.sleep(600)  # noqa: ASYNC251


async def ignore_cancels(context: Context, task: Task) -> None:
    with trio.CancelScope(shield=True):
        await trio.sleep_forever()


def main() -> None:
    work = {"blocks": block_the_loop, "ignores": ignore_cancels}[sys.argv[1]]
    server.STOP_MARGIN_SECONDS = 0.5  # type: ignore[misc]
    config = Config(port=0, store="memory", drain_timeout_seconds=0.1)
    trio.run(lambda: server.serve(config, announce=_announce, handlers=Catalogue({"sleep": Doing(work)})))


def _announce(url: str) -> None:
    sys.stdout.write(f"serves at {url}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
