"""Test the API document against a live server: schemathesis sends requests that the document allows and does not allow.

All checks are enabled. One of them contradicts the API: ``use_after_free`` assumes that DELETE removes a thing, so that
a later GET must get 404. Here, DELETE cancels a task, and its record remains with the outcome. The test ignores that
finding for the routes to which it applies; any other finding is a fault of the server or of the document.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .conftest import StartServer
from .process import ServerProcess

pytestmark = pytest.mark.usefixtures("each_server")

CONTRACT = Path(__file__).parent / "contract"
PROJECT = Path(__file__).parents[2]

RUN_SECONDS_MAX = 300
"""A time limit for a run that hangs; a run takes about ten seconds."""

CANCELLED_AND_STILL_THERE = "UseAfterFree"


def explore(server: ServerProcess, home: Path, *arguments: str) -> dict[str, Any]:
    """Run schemathesis; return its report."""
    report = home / "report.json"
    run = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONTRACT / "schemathesis.toml")),
            *("run", f"{server.url}/openapi.json", "--seed", "1", "--continue-on-failure", "--no-color"),
            *("--report", "json", "--report-json-path", str(report), *arguments),
        ],
        cwd=home,
        env=os.environ | {"SCHEMATHESIS_HOOKS": "tests.server.contract.hooks", "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS_MAX,
        check=False,
    )
    assert report.exists(), run.stdout + run.stderr
    found: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    assert {failure["type"] for failure in found["failures"]} <= {CANCELLED_AND_STILL_THERE}, run.stdout
    assert not found["errors"], run.stdout
    assert found["complete"]
    assert found["operations"]["selected"] == found["operations"]["tested"]
    return found


def removable(document: dict[str, Any]) -> list[str]:
    """Return the paths of single things that accept DELETE."""
    return [path for path, methods in document["paths"].items() if "delete" in methods and "{" in path]


def test_every_route_keeps_to_the_document(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server("--config", str(CONTRACT / "pexecutor.toml"), "--handlers", str(CONTRACT / "handlers.py"))

    found = explore(server, tmp_path, "--max-examples", "15", "--exclude-path", "/drain", "--exclude-path", "/events")

    assert found["operations"]["total"] == found["operations"]["tested"] + 2
    assert all(phase["status"] != "skip" for phase in found["phases"].values())
    assert found["valid_rates"]["POST /tasks"]["fuzzing"]["accepted"]
    assert removable(server.client.get("/openapi.json").json()) == ["/tasks/{id}", "/schedules/{name}"], (
        CANCELLED_AND_STILL_THERE
    )
    assert server.client.get("/readyz").status_code == 200
    assert [event for event in server.log_events() if event["level"] == "error"] == []


def test_the_drain_keeps_to_the_document(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server("--drain-timeout", "600")
    server.client.post("/tasks", json={"name": "holds it up", "duration": 600_000})

    explore(
        server, tmp_path, "--max-examples", "5", "--include-path", "/drain", "--phases", "examples,coverage,fuzzing"
    )

    assert server.client.get("/readyz").status_code == 503
