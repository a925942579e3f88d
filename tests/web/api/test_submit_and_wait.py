"""``POST /tasks?wait=``: one request submits a task and returns its outcome."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
import trio

from ...fakes import Gate
from ..conftest import Served, ServeHere
from ..replies import problem_in


async def test_the_reply_is_the_outcome(served: Served) -> None:
    reply = await served.client.post("/tasks?wait=20", json={"name": "a", "duration": 1})

    assert (reply.status_code, reply.json()["outcome"]) == (200, "succeeded")
    assert reply.headers["location"] == f"/tasks/{reply.json()['id']}"


async def test_without_an_outcome_in_time_the_reply_is_the_record(serve_here: ServeHere, gate: Gate) -> None:
    served = await serve_here(handler=gate)

    reply = await served.client.post("/tasks?wait=0.05", json={"name": "a"})

    assert (reply.status_code, reply.json()["state"]) == (202, "running")
    assert reply.headers["location"] == f"/tasks/{reply.json()['id']}"


async def test_a_task_that_joins_waits_for_the_holder(serve_here: ServeHere, gate: Gate) -> None:
    served = await serve_here(handler=gate)
    holder = await served.client.post("/tasks", json={"name": "a"})
    replies: list[httpx2.Response] = []

    async def join() -> None:
        replies.append(await served.client.post("/tasks?wait=20", json={"name": "a", "on_conflict": "join"}))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(join)
        await served.until(lambda now: now.submitted == 2)
        gate.open()

    assert (replies[0].status_code, replies[0].json()["id"]) == (200, holder.json()["id"])


async def test_a_refused_task_is_not_waited_for(full: Served) -> None:
    held = await full.client.post("/tasks?wait=20", json={"name": "r"})
    refused = await full.client.post("/tasks?wait=20", json={"name": "other"})

    assert problem_in(held, 409)["holder"]["name"] == "r"
    assert problem_in(refused, 429)


async def test_a_task_whose_record_is_not_kept_is_accepted(served: Served) -> None:
    reply = await served.client.post("/tasks?wait=20", json={"name": "a", "keep": 0})

    assert reply.status_code in (200, 202), reply.text  # it may have ended before anything waits for it


@pytest.mark.parametrize(
    ("content", "content_type"),
    [(b"[]", "application/json"), (b'[{"name": "a"}]', "application/json"), (b"", "application/x-ndjson")],
)
async def test_lists_and_streams_cannot_be_waited_for(served: Served, content: Any, content_type: str) -> None:
    reply = await served.client.post("/tasks?wait=1", content=content, headers={"Content-Type": content_type})

    assert "`wait` is for the submit of one task" in problem_in(reply, 400)["detail"]
    assert await served.names() == []
