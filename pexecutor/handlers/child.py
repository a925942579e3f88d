"""The process of a function: ``python -m pexecutor.handlers.child MODULE FUNCTION FD``.

Started by ``process.py``, which says what the two tell each other.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import msgspec

from .context import Context
from .function import FunctionHandler, load_module
from .process import Order, Report


def main(module: str, function: str, file_descriptor: str) -> None:
    """Call the function as ordered on standard input, and report on the file descriptor."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    with os.fdopen(int(file_descriptor), "wb", buffering=0) as pipe:

        def tell(report: Report) -> None:
            pipe.write(msgspec.json.encode(report) + b"\n")

        context = Context(
            order.id,
            order.name,
            order.attempt,
            on_progress=lambda done, total: tell(Report(progress=(done, total))),
            on_log=lambda line: tell(Report(log=line)),
        )
        tell(_call(module, function, context, order.params))


def _call(module: str, function: str, context: Context, params: dict[str, Any]) -> Report:
    try:
        handler = FunctionHandler(getattr(load_module(module), function), module, function, process=True)
        result = handler.call_here(context, params)
    except Exception as error:
        return Report(error=str(error) or "the function gave no reason")
    try:
        return Report(result=msgspec.Raw(msgspec.json.encode(result)))
    except (TypeError, ValueError, RecursionError, OverflowError) as error:
        return Report(error=f"the handler's result is not JSON: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
