"""The example apps of Flask, FastAPI and Django hand a task to a server, and show its outcome."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Final

import pytest

from .conftest import PROJECT, ServerProcess, clean_environment, serving

EXAMPLES: Final = PROJECT / "examples" / "clients"
SECONDS_MAX: Final = 60

ASGI: Final = """
import asyncio, json, sys
import httpx2
from fastapi_app import app, lifespan

async def main():
    transport = httpx2.ASGITransport(app)
    async with lifespan(app), httpx2.AsyncClient(transport=transport, base_url="http://localhost") as browser:
        ids = {(await browser.post("/reports/2026-11")).json()["id"] for _ in range(2)}
        [task_id] = ids
        while (shown := (await browser.get(f"/tasks/{task_id}")).json())["state"] != "finished":
            await asyncio.sleep(0.05)
        print(json.dumps([shown, (await browser.get("/tasks/a3f09c-42")).status_code]))

asyncio.run(main())
"""

WSGI: Final = """
import json, time
import httpx2
from {module} import {app}

with httpx2.Client(transport=httpx2.WSGITransport({app}), base_url="http://localhost") as browser:
    ids = {{browser.post("/reports/2026-11").json()["id"] for _ in range(2)}}
    [task_id] = ids
    while (shown := browser.get(f"/tasks/{{task_id}}").json())["state"] != "finished":
        time.sleep(0.05)
    print(json.dumps([shown, browser.get("/tasks/a3f09c-42").status_code]))
"""

PROGRAMS: Final = {
    "flask_app.py": WSGI.format(module="flask_app", app="app"),
    "fastapi_app.py": ASGI,
    "django_app.py": WSGI.format(module="django_app", app="application"),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    command = [sys.executable, "-m", "pexecutor", "--port", "0", "--store", "memory"]
    with serving(command, tmp_path_factory.mktemp("server")) as server:
        yield server
        server.stop()


@pytest.mark.parametrize("example", PROGRAMS)
def test_an_app_submits_a_task_and_shows_its_outcome(example: str, server: ServerProcess) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAMS[example]],
        cwd=EXAMPLES,
        env={**clean_environment(), "PEXECUTOR_URL": server.announced, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
    shown: list[Any] = json.loads(ran.stdout)
    assert shown == [{"state": "finished", "outcome": "succeeded", "result": None}, 404]


def test_each_app_is_run() -> None:
    assert {path.name for path in EXAMPLES.iterdir() if path.suffix == ".py"} == {*PROGRAMS}
