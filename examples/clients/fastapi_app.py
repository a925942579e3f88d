"""A FastAPI app that hands work to pexecutor: ``fastapi run fastapi_app.py``, with a server at ``PEXECUTOR_URL``.

``POST /reports/2026-11`` submits a task and replies at once, and ``GET /tasks/ID`` shows the task.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request

from pexecutor import AsyncClient, NotFoundError


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Keep one client for the life of the app."""
    async with AsyncClient() as client:
        app.state.tasks = client
        yield


app = FastAPI(lifespan=lifespan)


def client_of(request: Request) -> AsyncClient:
    """Return the client of the app."""
    client: AsyncClient = request.app.state.tasks
    return client


Tasks = Annotated[AsyncClient, Depends(client_of)]


@app.post("/reports/{month}", status_code=202)
async def make_report(month: str, tasks: Tasks) -> dict[str, str]:
    """Submit the task. Two requests for one month get the same task."""
    handle = await tasks.submit(f"report-{month}", "sleep", duration=100, on_conflict="join")
    return {"id": handle.id}


@app.get("/tasks/{task_id}")
async def show_task(task_id: str, tasks: Tasks) -> dict[str, Any]:
    """Show the task, so that the browser can ask again until it has ended."""
    try:
        record = (await tasks.get(task_id)).record
    except NotFoundError:
        raise HTTPException(404, "unknown task") from None
    return {"state": record.state, "outcome": record.outcome, "result": record.result}
