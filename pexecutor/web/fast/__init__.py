"""The fast listener: serves the same app with HTTP/1.1 parsed in C, and answers prompt routes without the framework.

Such a request costs no Trio task, no cancel scope and no timer of its own. One Trio task reads from all connections
that are ready, and another one watches all deadlines. Every other request is passed to the app.

Roads not taken: our own protocol inside Hypercorn, where the path from an event to the socket costs the most; and
answering in the parser's callbacks, which cannot await.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypercorn.typing import ASGIFramework

from ...errors import ConfigError
from ..access.proxies import Proxies
from .prompt import PromptRoutes
from .submits import Submits

if TYPE_CHECKING:
    from .server import FastHttp

__all__ = ["PromptRoutes", "Submits", "make_fast"]


def make_fast(
    app: ASGIFramework, prompt: PromptRoutes, submits: Submits, proxies: Proxies, *, idle_seconds_max: float
) -> FastHttp:
    """Return the fast listener for an app; see ``FastHttp``.

    Raises:
        ConfigError: the parser is not installed.
    """
    try:
        from .server import FastHttp
    except ImportError as error:
        raise ConfigError(
            "the fast listener needs a parser: install it with `pip install 'pexecutor[fast]'`, or omit --server fast"
        ) from error
    return FastHttp(app, prompt, submits, proxies, idle_seconds_max=idle_seconds_max)
