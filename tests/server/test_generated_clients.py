"""Clients generated from the API document: they submit, list, show, wait, cancel, and get typed errors."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE, STDOUT
from typing import Final

import pytest

from .conftest import StartServer
from .process import ServerProcess

PROGRAMS: Final = Path(__file__).parent / "clients"

SECONDS_MAX: Final = 300
"""A time limit that includes a first installation of packages, which later runs reuse."""

PACKAGES: Final = {"openapi-typescript": "^7.13.0", "openapi-fetch": "^0.17.0", "typescript": "^5.9.0"}

MODULE = """
from pexecutor import handler

@handler
async def grow(context, *, size: int = 1) -> None: ...

@handler(name="gr-ow")
async def grow_too(context, *, sizes: list[int]) -> None: ...
"""


@pytest.fixture
def busy(start_server: StartServer, tmp_path: Path) -> ServerProcess:
    """A server with room for one task besides the running one, and functions with different params."""
    (tmp_path / "work.py").write_text(MODULE, encoding="utf-8")
    server = start_server("--pool-size", "1", "--queue-size", "1", "--handlers", str(tmp_path / "work.py"))
    (tmp_path / "openapi.json").write_bytes(server.client.get("/openapi.json").content)
    return server


def run(*command: str, cwd: Path) -> str:
    """Run a program that must succeed; return its output."""
    ran = subprocess.run(command, cwd=cwd, stdout=PIPE, stderr=STDOUT, text=True, timeout=SECONDS_MAX, check=False)
    assert ran.returncode == 0, ran.stdout
    return ran.stdout


def test_a_client_for_python(busy: ServerProcess, tmp_path: Path) -> None:
    generate = [sys.executable, "-m", "openapi_python_client", "generate", "--path", "openapi.json"]
    said = run(*generate, "--meta", "none", "--output-path", "generated", cwd=tmp_path)
    assert said.count("WARNING") == said.count("Unsupported content type application/x-ndjson") == 1
    shutil.copy(PROGRAMS / "use.py", tmp_path)
    run(sys.executable, "use.py", busy.url, cwd=tmp_path)


@pytest.fixture
def node_modules(pytestconfig: pytest.Config) -> Path:
    """The packages of the TypeScript client, installed once and kept in pytest's cache."""
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir("typescript-client")
    wanted = json.dumps({"private": True, "type": "module", "dependencies": PACKAGES})
    described = folder / "package.json"
    if not (folder / "installed").exists() or described.read_text(encoding="utf-8") != wanted:
        described.write_text(wanted, encoding="utf-8")
        run("npm", "install", "--no-audit", "--no-fund", "--no-package-lock", cwd=folder)
        (folder / "installed").touch()
    return folder / "node_modules"


def test_a_client_for_typescript(busy: ServerProcess, tmp_path: Path, node_modules: Path) -> None:
    (tmp_path / "node_modules").symlink_to(node_modules)
    (tmp_path / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    shutil.copy(PROGRAMS / "use.ts", tmp_path)
    run("node_modules/.bin/openapi-typescript", "openapi.json", "--output", "schema.d.ts", cwd=tmp_path)
    options = ["--strict", "--target", "es2022", "--module", "nodenext", "--lib", "es2022,dom", "--outDir", "compiled"]
    run("node_modules/.bin/tsc", *options, "use.ts", cwd=tmp_path)
    assert run("node", "compiled/use.js", busy.url, cwd=tmp_path) == "done\n"
