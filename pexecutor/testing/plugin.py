"""The fixtures that pytest finds by itself once pexecutor is installed.

Everybody's tests load this module, so it imports nothing that takes time: a fixture imports what it needs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from .server import TestServer

_HANDLER_MARK: Final = "__pexecutor_handler__"


@pytest.fixture(scope="module")
def pexecutor_flags(request: pytest.FixtureRequest) -> list[str]:
    """Return the flags of the server of this module. Override this fixture to use other handlers or settings.

    By default, the server has the handlers that the test module declares itself.
    """
    declares = any(hasattr(value, _HANDLER_MARK) for value in vars(request.module).values())
    return ["--handlers", str(request.path)] if declares else []


@pytest.fixture(scope="module")
def pexecutor_server(pexecutor_flags: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestServer]:
    """Run a server on a free port, with a memory store, for the tests of a module. It is stopped after them."""
    from .server import TestServer

    with TestServer(pexecutor_flags, tmp_path_factory.mktemp("pexecutor")) as server:
        yield server
