"""Handlers that return the names of their environment variables."""

from __future__ import annotations

import os

from pexecutor import Context, handler


@handler(process=True)
def in_a_process(context: Context) -> list[str]:
    return list(os.environ)


@handler
def in_the_server(context: Context) -> list[str]:
    return list(os.environ)
