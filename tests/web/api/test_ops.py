"""Liveness, readiness and drain: the requests of an orchestrator, and the routes that still work during a stop."""

from __future__ import annotations

import pytest
import trio

from ...fakes import Gate
from ..conftest import Served
from ..replies import problem_in


async def test_a_server_is_alive_and_ready_from_its_first_answer_on(served: Served) -> None:
    alive = await served.client.get("/livez")
    ready = await served.client.get("/readyz")

    assert (alive.status_code, alive.json()) == (200, {"status": "alive"})
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")


async def test_readiness_tells_what_the_executor_is_doing(full: Served) -> None:
    statistics = (await full.client.get("/readyz")).json()["statistics"]

    assert statistics["phase"] == "serving"
    assert (statistics["submitted"], statistics["started"], statistics["pool_size"]) == (3, 1, 1)
    assert (statistics["store"]["pending"], statistics["store"]["running"], statistics["store"]["queue_size"]) == (
        2,
        1,
        2,
    )


async def test_a_drain_is_accepted_and_the_server_is_no_longer_ready(full: Served) -> None:
    reply = await full.client.post("/drain")

    assert (reply.status_code, reply.json()["status"]) == (202, "draining")
    problem = problem_in(await full.client.get("/readyz"), 503)
    assert problem["statistics"]["phase"] == "draining"
    assert (await full.client.get("/livez")).status_code == 200


async def test_a_drain_can_be_asked_for_twice(full: Served) -> None:
    for _ in range(2):
        assert (await full.client.post("/drain")).status_code == 202

    assert full.executor.statistics().store.running == 1


async def test_reads_and_cancels_go_on_answering_while_draining(full: Served) -> None:
    await full.client.post("/drain")

    [running] = await full.listing("/tasks/running")
    pending = await full.listing("/tasks/pending")
    assert running["name"] == "r"
    assert {record["name"] for record in pending} == {"p0", "p1"}

    cancelled = await full.client.delete(f"/tasks/{pending[0]['id']}")
    assert (cancelled.status_code, cancelled.json()["outcome"]) == (200, "cancelled")
    assert (await full.client.get(f"/tasks/{pending[0]['id']}")).json()["state"] == "finished"
    assert (await full.client.delete(f"/tasks/{running['id']}")).status_code == 202
    with trio.fail_after(2):
        await full.executor.stopped.wait()


async def test_nothing_new_starts_while_draining_and_what_waits_is_kept(full: Served, gate: Gate) -> None:
    await full.client.post("/drain")

    gate.open()
    with trio.fail_after(2):
        await full.executor.stopped.wait()

    assert await full.names("/tasks/finished") == ["r"]
    assert await full.names("/tasks/pending") == ["p0", "p1"]
    assert problem_in(await full.client.get("/readyz"), 503)["statistics"]["phase"] == "stopped"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/drain", {"POST"}),
        ("POST", "/livez", {"GET", "HEAD"}),
        ("DELETE", "/readyz", {"GET", "HEAD"}),
        ("PUT", "/tasks", {"GET", "HEAD", "POST"}),
        ("DELETE", "/tasks", {"GET", "HEAD", "POST"}),
        ("POST", "/tasks/running", {"GET", "HEAD"}),
        ("DELETE", "/tasks/pending", {"GET", "HEAD"}),
        ("POST", "/tasks/x", {"GET", "HEAD", "PATCH", "DELETE"}),
        ("TRACE", "/tasks/finished", {"GET", "HEAD"}),
    ],
)
async def test_a_wrong_method_is_told_which_ones_are_right(
    served: Served, method: str, path: str, allowed: set[str]
) -> None:
    reply = await served.client.request(method, path)

    assert problem_in(reply, 405)
    assert {name.strip() for name in reply.headers["allow"].split(",")} - {"OPTIONS"} == allowed
