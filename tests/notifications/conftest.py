from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio

from .network import Names


@pytest.fixture
async def names() -> AsyncIterator[Names]:
    """The names that exist: none, until the test adds some."""
    resolver = Names()
    previous = trio.socket.set_custom_hostname_resolver(resolver)
    yield resolver
    trio.socket.set_custom_hostname_resolver(previous)
