"""Load the sender that makes HTTP requests, once there is a target.

The HTTP client takes long to load, and a server without targets does not need it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager

from .sending import Send
from .settings import Target


def open_http_sender(targets: Mapping[str, Target]) -> AbstractAsyncContextManager[Send]:
    """Open the sender that makes HTTP requests."""
    from .sender import opened

    return opened(targets)
