"""Submitting over HTTP: lists and single tasks, their replies, and refusals for lack of room.

A closed gate keeps the pool busy. So pending tasks stay pending, and each test decides how full the queue is. Waiting
for room and invalid input have their own modules.
"""

from __future__ import annotations

from typing import Any

import pytest
import trio

from ...fakes import Gate
from ..conftest import Served, ServeHere
from ..replies import counts_in, problem_in, retry_after_in


async def test_a_batch_is_answered_in_the_keys_of_the_original(served: Served) -> None:
    reply = await served.client.post("/tasks", json=[{"name": "a", "duration": 50}, {"name": "a"}, {"name": "b"}])

    assert reply.status_code == 200
    counts = {key: value for key, value in reply.json().items() if key != "Tasks"}
    assert counts == {"RequestedTask": 3, "SubmittedTasks": 2, "DuplicateTasks": 1, "RejectedTasks": 0}


async def test_an_empty_batch_is_answered_with_zeros(served: Served) -> None:
    reply = await served.client.post("/tasks", json=[])

    assert reply.status_code == 200
    assert reply.json() == {
        "RequestedTask": 0,
        "SubmittedTasks": 0,
        "DuplicateTasks": 0,
        "RejectedTasks": 0,
        "Tasks": [],
    }


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON"])
async def test_a_media_type_is_taken_with_parameters_and_in_any_case(served: Served, content_type: str) -> None:
    headers = {"Content-Type": content_type}
    reply = await served.client.post("/tasks", content=b'[{"name": "a"}]', headers=headers)

    assert reply.status_code == 200
    assert counts_in(reply) == (1, 1, 0, 0)


async def test_a_duplicate_is_told_who_holds_the_name(full: Served) -> None:
    [running_holder] = await full.listing("/tasks/running")
    [_, pending_holder] = await full.listing("/tasks/pending")

    reply = await full.client.post("/tasks", json=[{"name": "r"}, {"name": "p1"}])

    assert reply.json()["Tasks"] == [
        {
            "index": 0,
            "name": "r",
            "verdict": "duplicate",
            "id": running_holder["id"],
            "state": "running",
            "since": running_holder["started_at"],
        },
        {
            "index": 1,
            "name": "p1",
            "verdict": "duplicate",
            "id": pending_holder["id"],
            "state": "pending",
            "since": pending_holder["submitted_at"],
        },
    ]


async def test_the_first_of_two_equal_names_in_a_batch_wins(serve_here: ServeHere, gate: Gate) -> None:
    served = await serve_here(handler=gate)
    tasks = [{"name": "a", "duration": 1}, {"name": "a", "duration": 2}]

    first, second = (await served.client.post("/tasks?verdicts=all", json=tasks)).json()["Tasks"]

    assert (first["verdict"], second["verdict"]) == ("accepted", "duplicate")
    assert first["id"] == second["id"]
    assert (await served.client.get(f"/tasks/{first['id']}")).json()["duration"] == 1


@pytest.mark.parametrize(
    ("query", "listed"),
    [
        ("", [(1, "duplicate"), (3, "full")]),
        ("?verdicts=refused", [(1, "duplicate"), (3, "full")]),
        ("?verdicts=all", [(0, "accepted"), (1, "duplicate"), (2, "accepted"), (3, "full")]),
        ("?verdicts=none", []),
    ],
)
async def test_verdicts_are_listed_as_they_are_wanted(
    serve_here: ServeHere, gate: Gate, query: str, listed: list[tuple[int, str]]
) -> None:
    served = await serve_here(queue_size=2, handler=gate)

    reply = await served.client.post(f"/tasks{query}", json=[{"name": name} for name in "aabc"])

    assert counts_in(reply) == (4, 2, 1, 1)
    assert [(entry["index"], entry["verdict"]) for entry in reply.json()["Tasks"]] == listed


async def test_a_full_queue_takes_what_fits_and_tells_when_to_come_back(serve_here: ServeHere, gate: Gate) -> None:
    served = await serve_here(pool_size=1, queue_size=2, handler=gate)

    reply = await served.client.post("/tasks", json=[{"name": name} for name in "aabcd"])

    assert problem_in(reply, 429)
    assert retry_after_in(reply)
    assert counts_in(reply) == (5, 2, 1, 2)
    assert reply.json()["Tasks"][1:] == [
        {"index": 3, "name": "c", "verdict": "full"},
        {"index": 4, "name": "d", "verdict": "full"},
    ]


async def test_a_batch_larger_than_queue_and_pool_is_refused_at_once_and_the_rest_finishes(served: Served) -> None:
    with trio.fail_after(2):
        reply = await served.client.post("/tasks", json=[{"name": f"t{number}"} for number in range(1006)])

    assert reply.status_code == 429
    assert retry_after_in(reply)
    assert counts_in(reply) == (1006, 1000, 0, 6)
    await served.until(lambda now: now.store.finished == {"succeeded": 1000})
    again = await served.client.post("/tasks", json=[{"name": entry["name"]} for entry in reply.json()["Tasks"]])
    assert counts_in(again) == (6, 6, 0, 0)


async def test_one_task_is_answered_with_its_record_and_where_it_is(served: Served) -> None:
    task = {"name": "a", "duration": 10_000, "priority": 3, "timeout": 20_000}
    reply = await served.client.post("/tasks", json=task)

    assert reply.status_code == 202
    record = reply.json()
    assert record.items() >= (task | {"state": "pending"}).items()
    assert reply.headers["location"] == f"/tasks/{record['id']}"
    assert (await served.client.get(reply.headers["location"])).json()["id"] == record["id"]


async def test_one_duplicate_task_is_answered_with_the_holders_record(full: Served) -> None:
    [holder] = await full.listing("/tasks/running")

    reply = await full.client.post("/tasks", json={"name": "r"})

    assert problem_in(reply, 409)["holder"] == holder
    assert holder["id"] in reply.json()["detail"]


async def test_one_task_too_many_is_refused_until_there_is_room(full: Served, gate: Gate) -> None:

    reply = await full.client.post("/tasks", json={"name": "late"})
    assert problem_in(reply, 429)
    assert retry_after_in(reply)

    gate.open()
    await full.until(lambda now: now.store.pending == now.store.running == 0)
    assert (await full.client.post("/tasks", json={"name": "late"})).status_code == 202


@pytest.mark.parametrize("body", [{"name": "a"}, [{"name": "a"}, {"name": "b"}]])
async def test_a_draining_server_sends_new_tasks_away(full: Served, body: Any) -> None:
    full.executor.drain()

    reply = await full.client.post("/tasks", json=body)

    assert problem_in(reply, 503)
    assert retry_after_in(reply)
    if isinstance(body, list):
        assert counts_in(reply) == (2, 0, 0, 2)
        assert [entry["verdict"] for entry in reply.json()["Tasks"]] == ["draining", "draining"]


@pytest.mark.parametrize("name", ["x" * 255, "ü" * 127, "🦆" * 63, " ", "\u2028", "\\", '"', "<b>", "a/b?c#d", "null"])
async def test_a_name_may_be_nearly_anything(served: Served, name: str) -> None:
    reply = await served.client.post("/tasks", json={"name": name})

    assert reply.status_code == 202
    assert await served.names() == [name]
    assert [record["name"] for record in (await served.client.get("/tasks", params={"name": name})).json()] == [name]
