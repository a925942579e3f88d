"""Fixtures for tests of the Python client: a server process, and each of the three ways to run the client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ..server.process import ServerProcess
from .drivers import DRIVERS, Run, runner

MODULE = """
from typing import Any

import trio

from pexecutor import Context, handler

@handler
async def adds(context: Context, *, left: int, right: int) -> int:
    "Adds two numbers."
    context.log(f"{left} + {right}")
    return left + right

@handler
async def fails(context: Context, *, why: str = "because") -> None:
    "Fails."
    context.log("about to fail")
    raise RuntimeError(why)

@handler
async def counts(context: Context, *, to: int, pause: float = 0.0) -> str:
    "Logs numbers."
    for number in range(to):
        context.log(f"number {number}")
        context.progress(number + 1, to)
        await trio.sleep(pause)
    return "counted"
"""


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset the variables of the client."""
    monkeypatch.delenv("PEXECUTOR_URL", raising=False)
    monkeypatch.delenv("PEXECUTOR_TOKEN", raising=False)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that all tests of a worker share. Each test uses its own names."""
    home = tmp_path_factory.mktemp("server")
    (home / "work.py").write_text(MODULE)
    server = ServerProcess(
        *("-port", "0", "--store", "memory", "--queue-size", "20000", "--handlers", str(home / "work.py")),
        log=home / "log",
    )
    yield server
    server.close()


@pytest.fixture(params=DRIVERS)
def run(request: pytest.FixtureRequest) -> Run:
    """Run a test with a client."""
    return runner(request.param)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name for a task that no other test uses."""
    return str(request.node.name)
