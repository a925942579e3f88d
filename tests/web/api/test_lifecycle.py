"""A task's life over HTTP: handlers, delay, retries, conflicts, waiting."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from pexecutor import Task
from pexecutor.handlers import Context

from ...fakes import Doing, Gate
from ..conftest import Served, ServeHere
from ..replies import counts_in, faults_in, problem_in


async def submit(served: Served, **task: Any) -> dict[str, Any]:
    reply = await served.client.post("/tasks", json=task)
    assert reply.status_code == 202, reply.text
    record: dict[str, Any] = reply.json()
    return record


async def test_a_handler_that_does_not_exist_is_refused_with_those_that_do(served: Served) -> None:
    reply = await served.client.post("/tasks", json=[{"name": "a"}, {"name": "b", "handler": "rm"}])
    assert faults_in(reply) == [(1, "handler")]
    assert "`sleep`" in reply.json()["errors"][0]["detail"]
    assert await served.listing() == []


async def test_params_that_a_handler_does_not_take_are_refused_at_submit(served: Served) -> None:
    reply = await served.client.post("/tasks", json={"name": "a", "params": {"x": 1}})
    assert [index for index, _ in faults_in(reply)] == [0]
    assert await served.listing() == []


async def test_the_handlers_are_listed_with_what_they_take(served: Served) -> None:
    [sleep] = await served.listing("/handlers")
    assert sleep["name"] == "sleep"
    assert sleep["description"]
    assert sleep["params"]["type"] == "object"


@pytest.mark.parametrize(
    ("task", "field"),
    [
        ({"delay": -1}, "delay"),
        ({"delay": 604_800_001}, "delay"),
        ({"run_at": "tomorrow"}, "run_at"),
        ({"run_at": "2030-01-01T00:00:00"}, "run_at"),
        ({"run_at": "2030-01-01T00:00:00Z", "delay": 5}, "run_at"),
        ({"retries": 101}, "retries"),
        ({"retries": -1}, "retries"),
        ({"retry_delay": -1}, "retry_delay"),
        ({"priority": 101}, "priority"),
        ({"on_conflict": "replace"}, "on_conflict"),
        ({"on_crash": "explode"}, "on_crash"),
        ({"keep": -1}, "keep"),
        ({"params": {"x": "y" * 70_000}}, "params"),
        ({"params": []}, "params"),
        ({"timeout": 0}, "timeout"),
        ({"handler": ""}, "handler"),
    ],
)
async def test_a_field_out_of_its_range_is_named(served: Served, task: dict[str, Any], field: str) -> None:
    reply = await served.client.post("/tasks", json=[{"name": "a", **task}])
    assert faults_in(reply) == [(0, field)]


async def test_a_delayed_task_is_shown_as_scheduled(served: Served) -> None:
    await submit(served, name="a", delay=60_000)
    await submit(served, name="b", run_at="2099-01-01T00:00:00+02:00")
    scheduled = await served.listing("/tasks?state=scheduled")
    assert [record["name"] for record in scheduled] == ["a", "b"]
    assert scheduled[1]["due_at"] == "2098-12-31T22:00:00.000Z"
    assert await served.names("/tasks/pending") == []


async def test_waiting_for_an_outcome(served: Served) -> None:
    record = await submit(served, name="a", duration=150)
    shown = (await served.client.get(f"/tasks/{record['id']}?wait=20")).json()
    assert shown["outcome"] == "succeeded"
    assert (await served.client.get(f"/tasks/{record['id']}?wait=20")).json()["outcome"] == "succeeded"


async def test_waiting_ends_with_the_state_of_then(serve_here: ServeHere) -> None:
    served = await serve_here(handler=Gate())
    record = await submit(served, name="a")
    assert (await served.client.get(f"/tasks/{record['id']}?wait=0.05")).json()["state"] == "running"
    for wait in ("-1", "301", "x", "nan"):
        problem_in(await served.client.get(f"/tasks/{record['id']}?wait={wait}"), 400)
    problem_in(await served.client.get("/tasks/000000-1?wait=1"), 404)


async def test_attempts_are_listed_with_how_they_ended(serve_here: ServeHere) -> None:
    async def work(context: Context, task: Task) -> str:
        if context.attempt < 3:
            raise LookupError(f"no luck at {context.attempt}")
        return "luck"

    served = await serve_here(handler=Doing(work))
    record = await submit(served, name="a", retries=2, retry_delay=0)
    shown = (await served.client.get(f"/tasks/{record['id']}?wait=20")).json()
    assert [attempt["outcome"] for attempt in shown["attempts"]] == ["failed", "failed", "succeeded"]
    assert [attempt.get("error") for attempt in shown["attempts"]] == ["no luck at 1", "no luck at 2", None]
    assert all(attempt["started_at"] <= attempt["ended_at"] for attempt in shown["attempts"])
    assert shown["result"] == "luck"


async def test_progress_and_output_can_be_read_while_it_runs(serve_here: ServeHere) -> None:
    told, go_on = trio.Event(), trio.Event()

    async def work(context: Context, task: Task) -> None:
        context.progress(3, 10)
        context.log("three of ten")
        told.set()
        await go_on.wait()
        context.progress(10)

    served = await serve_here(handler=Doing(work))
    record = await submit(served, name="a")
    await told.wait()
    [listed] = await served.listing("/tasks/running")
    assert listed["progress"] == {"done": 3, "total": 10}
    assert "output" not in listed
    shown = (await served.client.get(f"/tasks/{record['id']}")).json()
    assert shown["output"]["log"] == "three of ten\n"
    go_on.set()
    shown = (await served.client.get(f"/tasks/{record['id']}?wait=20")).json()
    assert shown["output"]["log"] == "three of ten\n"


async def test_join_is_accepted_with_the_record_of_the_holder(serve_here: ServeHere) -> None:
    served = await serve_here(handler=Gate())
    first = await submit(served, name="a")
    joined = await submit(served, name="a", on_conflict="join")
    assert joined["id"] == first["id"]
    reply = await served.client.post("/tasks?verdicts=all", json=[{"name": "a", "on_conflict": "join"}, {"name": "a"}])
    assert counts_in(reply) == (2, 1, 1, 0)
    assert [verdict["id"] for verdict in reply.json()["Tasks"]] == [first["id"]] * 2


async def test_supersede_and_latest_are_shown_as_following(serve_here: ServeHere) -> None:
    gate = Gate()
    served = await serve_here(handler=gate)
    first = await submit(served, name="a", duration=1)
    await served.until(lambda now: now.store.running == 1)
    follower = await submit(served, name="a", duration=2, on_conflict="latest")
    assert (follower["state"], follower["follows"]) == ("scheduled", first["id"])
    again = await submit(served, name="a", duration=3, on_conflict="latest")
    assert (again["id"], again["duration"]) == (follower["id"], 3)
    assert await served.names("/tasks?name=a") == ["a", "a"]
    gate.open()
    shown = (await served.client.get(f"/tasks/{follower['id']}?wait=20")).json()
    assert shown["outcome"] == "succeeded"
    assert gate.payloads == [1, 3]


async def test_a_stream_stops_at_a_task_that_its_handler_would_not_take(serve_here: ServeHere) -> None:
    served = await serve_here(handler=Gate())
    lines = b'{"name":"a"}\n{"name":"b","params":{"bad":1}}\n{"name":"c"}\n'
    reply = await served.client.post("/tasks", content=lines, headers={"Content-Type": "application/x-ndjson"})
    assert faults_in(reply) == [(1, "params.bad")]
    assert reply.json()["SubmittedTasks"] == 1
    assert await served.names() == ["a"]
