"""The fast listener: HTTP/1.1 parsed in C, for the same app; hot routes are answered before the framework.

A request on the hot way costs no Trio task, no cancel scope and no timer of its own: one Trio task reads from all
connections that are ready, and another watches the times of all. Every other request is handed to the app.

Roads not taken: a protocol of our own inside Hypercorn, where the way from an event to the socket costs most; and
answering in the parser's callbacks, which cannot await.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypercorn.typing import ASGIFramework

from ...errors import ConfigError
from .hot import HotRoutes

if TYPE_CHECKING:
    from .server import FastHttp

__all__ = ["HotRoutes", "make_fast"]


def make_fast(app: ASGIFramework, hot: HotRoutes, *, idle_seconds_max: float) -> FastHttp:
    """What speaks HTTP for this app; see ``FastHttp``.

    Raises:
        ConfigError: the parser is not installed.
    """
    try:
        from .server import FastHttp
    except ImportError as error:
        raise ConfigError(
            "the fast listener needs a parser: install it with `pip install 'pexecutor[fast]'`, or leave out --server"
        ) from error
    return FastHttp(app, hot, idle_seconds_max=idle_seconds_max)
