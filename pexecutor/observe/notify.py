"""Call notification callbacks and write to the log without raising into the caller.

A callback of ``Executor`` or of a store is the operator's own code, and may write to a log that has failed. A callback
is notified of a change that has already happened, so its errors must neither undo the change nor end the server.

A callback may raise any class of exception: a ``SystemExit``, or a ``Cancelled`` that the callback made itself, would
end the executor. The functions here do not await, so no ``Cancelled`` of Trio arrives in them. Only a
``KeyboardInterrupt`` is passed on, because it may be a Ctrl-C.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final, ParamSpec

from ..values import exception_text

P = ParamSpec("P")


class SafeLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger whose handlers cannot raise into the caller; all modules that run tasks log through one."""

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Log a message, and ignore exceptions of the handlers."""
        try:
            super().log(level, msg, *args, stacklevel=2, **kwargs)  # the line of the caller
        except KeyboardInterrupt:
            raise
        except BaseException:  # a handler of the log is the operator's own code, too
            pass


def safe_logger(name: str) -> SafeLogger:
    """Return the safe logger of a module."""
    return SafeLogger(logging.getLogger(name), {})


_log: Final = safe_logger(__name__)


def notifier(callback: Callable[P, object]) -> Callable[P, None]:
    """Return a function that calls the callback and keeps its errors from the caller. The first error is logged."""
    has_failed = False

    def notify(*args: P.args, **kwargs: P.kwargs) -> None:
        nonlocal has_failed
        try:
            callback(*args, **kwargs)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if not has_failed:
                has_failed = True
                _log.error("a callback failed; its further errors are not logged: %s", exception_text(error))

    return notify
