"""A Flask app that hands work to pexecutor: ``flask --app flask_app run``, with a server at ``PEXECUTOR_URL``.

``POST /reports/2026-11`` submits a task and replies at once, and ``GET /tasks/ID`` shows the task.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from flask import Flask

from pexecutor import Client, NotFoundError

app = Flask(__name__)


@cache
def tasks() -> Client:
    """Return the client of this process. It is made at the first request, after the web server has forked."""
    return Client()


@app.post("/reports/<month>")
def make_report(month: str) -> tuple[dict[str, str], int]:
    """Submit the task. Two requests for one month get the same task."""
    handle = tasks().submit(f"report-{month}", "sleep", duration=100, on_conflict="join")
    return {"id": handle.id}, 202


@app.get("/tasks/<task_id>")
def show_task(task_id: str) -> tuple[dict[str, Any], int]:
    """Show the task, so that the browser can ask again until it has ended."""
    try:
        record = tasks().get(task_id).record
    except NotFoundError:
        return {"error": "unknown task"}, 404
    return {"state": record.state, "outcome": record.outcome, "result": record.result}, 200
