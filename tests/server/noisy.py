"""Functions that write a lot to standard output and standard error and then fail."""

from __future__ import annotations

import logging
import os
import sys
import warnings

from pexecutor import Context, handler

LINE = "y" * 199 + "\n"


LOGGER = logging.getLogger("noisy")
LOGGER.addHandler(logging.StreamHandler())  # the handler keeps the stream that exists now


def write_a_lot() -> None:
    LOGGER.error(LINE * 1000)
    for stream in (sys.stdout, sys.stderr):
        stream.write(LINE * 1000)  # more than a pipe holds
        stream.write(os.fsdecode(b"caf\xe9.txt \n"))
        stream.flush()
    warnings.warn("noisy", stacklevel=1)


@handler
async def noisy_async(context: Context) -> None:
    write_a_lot()
    raise ValueError("noisy")


@handler
def noisy_thread(context: Context) -> None:
    write_a_lot()
    sys.stderr.close()
    raise ValueError("noisy")
