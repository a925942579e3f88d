"""Tests of ``PATCH /tasks/{id}``: changing the priority and the time of a waiting task."""

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


async def test_a_pending_task_can_wait_for_a_time(full: Served) -> None:
    path = f"/tasks/{await id_of(full, 'p0')}"
    last = {"run_at": "9999-12-31T23:59:59Z", "priority": 3}
    reply = await full.client.patch(path, json=last)

    assert reply.status_code == 200
    assert {"state": "scheduled", "due_at": "9999-12-31T23:59:59.000Z", "priority": 3}.items() <= reply.json().items()
    assert await full.names("/tasks/pending") == ["p1"]
    reply = await full.client.patch(path, json={"run_at": "now"})
    assert (reply.status_code, reply.json()["state"]) == (200, "pending")
    assert await full.names("/tasks/pending") == ["p0", "p1"]


@pytest.mark.parametrize("time", ["now", "2020-01-31T08:00:00+01:00", "0001-01-01T00:00:00Z"])
async def test_now_and_a_past_time_leave_a_pending_task_as_it_is(full: Served, time: str) -> None:
    path = f"/tasks/{await id_of(full, 'p1')}"
    before = (await full.client.get(path)).json()
    reply = await full.client.patch(path, json={"run_at": time})

    assert (reply.status_code, reply.json()) == (200, before)


async def test_the_time_of_a_started_ended_or_unknown_task_is_not_changed(full: Served, gate: Gate) -> None:
    task_id = await id_of(full, "r")
    assert "started" in problem_in(await full.client.patch(f"/tasks/{task_id}", json={"run_at": "now"}), 409)["detail"]
    gate.open()
    await full.client.get(f"/tasks/{task_id}?wait=5")
    assert "ended" in problem_in(await full.client.patch(f"/tasks/{task_id}", json={"run_at": "now"}), 409)["detail"]
    problem_in(await full.client.patch("/tasks/000000-1", json={"run_at": "now"}), 404)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"priority":101}', "priority"),
        (b'{"priority":1.5}', "priority"),
        (b'{"priority":null}', "priority"),
        (b"{}", "priority"),
        (b'{"priority":1,"name":"x"}', "name"),
        (b'{"run_at":"soon"}', "run_at"),
        (b'{"run_at":""}', "run_at"),
        (b'{"run_at":null}', "run_at"),
        (b'{"run_at":1}', "run_at"),
        (b'{"run_at":"2030-01-31T08:00:00"}', "run_at"),
        (b'{"run_at":"9999-12-31T23:59:59-01:00"}', "run_at"),
        (b'{"run_at":"10000-01-01T00:00:00Z"}', "run_at"),
        (b'{"priority":1,"run_at":"now","run_at":"now"}', "run_at"),
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
