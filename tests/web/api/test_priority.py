"""Tests of ``PATCH /tasks/{id}``: changing the priority of a pending task."""

from __future__ import annotations

import pytest

from ...fakes import Gate
from ..conftest import Served
from ..replies import faults_in, problem_in


async def id_of(served: Served, name: str) -> str:
    [record] = await served.listing(f"/tasks?name={name}")
    return str(record["id"])


async def test_a_task_that_waits_is_moved(full: Served) -> None:
    reply = await full.client.patch(f"/tasks/{await id_of(full, 'p1')}", json={"priority": 5})

    assert (reply.status_code, reply.json()["priority"], reply.json()["state"]) == (200, 5, "pending")
    assert await full.names("/tasks/pending") == ["p1", "p0"]


async def test_one_that_has_started_or_ended_is_not(full: Served, gate: Gate) -> None:
    task_id = await id_of(full, "r")
    assert "started" in problem_in(await full.client.patch(f"/tasks/{task_id}", json={"priority": 5}), 409)["detail"]
    gate.open()
    await full.client.get(f"/tasks/{task_id}?wait=5")
    assert "ended" in problem_in(await full.client.patch(f"/tasks/{task_id}", json={"priority": 5}), 409)["detail"]
    problem_in(await full.client.patch("/tasks/000000-1", json={"priority": 5}), 404)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"priority":101}', "priority"),
        (b'{"priority":1.5}', "priority"),
        (b'{"priority":null}', "priority"),
        (b"{}", "priority"),
        (b'{"priority":1,"name":"x"}', "name"),
        (b'{"priority":1,"priority":2}', "priority"),
        (b"[]", None),
        (b"{", None),
        (b"", None),
    ],
)
async def test_a_change_that_makes_no_sense_is_refused(full: Served, body: bytes, field: str | None) -> None:
    reply = await full.client.patch(
        f"/tasks/{await id_of(full, 'p1')}", content=body, headers={"Content-Type": "application/json"}
    )

    assert faults_in(reply) == [(0, field)]
    assert await full.names("/tasks/pending") == ["p0", "p1"]


async def test_a_change_is_json_and_has_no_parameters(full: Served) -> None:
    path = f"/tasks/{await id_of(full, 'p1')}"
    problem_in(await full.client.patch(path, content=b"priority=1"), 415)
    problem_in(await full.client.patch(f"{path}?priority=1", json={"priority": 1}), 400)
