"""The plugin in a run of pytest of its own, as a user's tests have it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pexecutor.testing.server import TestServer, TestServerError

from ..project.page import page

[OF_THE_PAGE, _] = page("reference/pytest").find("python")
"""The test on the page of the plugin."""

WITH_A_CLIENT = """
async def test_an_asynchronous_client(pexecutor_server):
    async with pexecutor_server.async_client() as client:
        handle = await client.submit("b", duration=100_000)
        assert (await handle.refresh()).state in ("pending", "running")  # it is cut off at the end
"""

WITH_FLAGS = """
import pytest


@pytest.fixture(scope="module")
def pexecutor_flags():
    return ["--config", "pexecutor.toml"]


def test_a_declared_handler(pexecutor_server, monkeypatch):
    monkeypatch.setenv("PEXECUTOR_TOKEN", "of the user")
    with pexecutor_server.client() as client:
        assert client.submit("echo", "echo").wait(30).output.stdout == "hello\\n"
    assert "submitted" in pexecutor_server.log
"""

SETTINGS = '[handlers.echo]\ncommand = ["echo", "hello"]\n'

LOADED = """
import sys
import pytest
before = set(sys.modules)
import pexecutor.testing.plugin
print(sorted(name for name in sys.modules.keys() - before if not name.startswith(("pexecutor", "importlib"))))
print(sorted(name for name in sys.modules.keys() - before if name.startswith("pexecutor")))
"""


def test_a_module_of_tests_has_a_server_with_its_handlers(tmp_path: Path) -> None:
    (tmp_path / "test_own.py").write_text(OF_THE_PAGE.text + WITH_A_CLIENT)
    (tmp_path / "test_flags.py").write_text(WITH_FLAGS)
    (tmp_path / "pexecutor.toml").write_text(SETTINGS)
    command = [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:schemathesis"]
    command += ["-o", "trio_mode=true", "-W", "error"]

    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "3 passed in" in ran.stdout
    assert "warning" not in ran.stdout


def test_loading_the_plugin_loads_almost_nothing() -> None:
    ran = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, timeout=60, check=True)

    assert ran.stdout.splitlines() == ["[]", "['pexecutor', 'pexecutor.testing', 'pexecutor.testing.plugin']"]


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(TestServerError, match=r"no-such-file\.toml"):
        TestServer(["--config", "no-such-file.toml"], tmp_path)


def test_a_server_that_is_gone_is_reported(tmp_path: Path) -> None:
    server = TestServer([], tmp_path)
    server._process.kill()
    with pytest.raises(TestServerError, match="ended with the status -9"):
        server.stop()
