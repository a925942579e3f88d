"""Reading and cancelling: one task by its id, and listings with filters and pages."""

from __future__ import annotations

import pytest
import trio

from ...fakes import Gate
from ..conftest import Served, ServeHere
from ..replies import problem_in

GET_PATHS = ("/tasks", "/tasks/pending", "/tasks/running", "/tasks/finished")


async def submit(served: Served, name: str, **fields: int) -> str:
    """Submit one task; return its id."""
    reply = await served.client.post("/tasks", json={"name": name, **fields})
    assert reply.status_code == 202
    task_id: str = reply.json()["id"]
    return task_id


async def state_of(served: Served, task_id: str) -> tuple[str, str | None]:
    record = (await served.client.get(f"/tasks/{task_id}")).json()
    return record["state"], record.get("outcome")


async def test_a_record_tells_what_is_known_in_each_state(full: Served, gate: Gate) -> None:
    [running], pending = await full.listing("/tasks/running"), (await full.listing("/tasks/pending"))[1]
    always = {"id", "name", "state", "duration", "handler", "priority", "submitted_at"}
    assert pending.keys() == always
    assert running.keys() == always | {"started_at"}

    gate.open()
    await full.until(lambda now: now.store.finished == {"succeeded": 3})

    finished = (await full.client.get(f"/tasks/{running['id']}")).json()
    assert finished.keys() >= always | {"started_at", "finished_at", "outcome", "attempts", "params"}
    assert finished["submitted_at"] <= finished["started_at"] <= finished["finished_at"]
    assert finished["outcome"] == "succeeded"


async def test_a_task_that_took_too_long_says_so(served: Served) -> None:
    task_id = await submit(served, "a", duration=10_000, timeout=10)
    await served.until(lambda now: now.store.finished == {"timed_out": 1})

    record = (await served.client.get(f"/tasks/{task_id}")).json()

    assert (record["state"], record["outcome"]) == ("finished", "timed_out")
    assert "10 ms" in record["error"]


async def test_cancelling_a_pending_task_ends_it_at_once(full: Served) -> None:
    task_id = (await full.listing("/tasks/pending"))[0]["id"]

    reply = await full.client.delete(f"/tasks/{task_id}")

    assert reply.status_code == 200
    assert (reply.json()["state"], reply.json()["outcome"]) == ("finished", "cancelled")
    assert await full.names("/tasks/pending") == ["p1"]
    assert (await full.client.post("/tasks", json={"name": "p0"})).status_code == 202


async def test_cancelling_a_running_task_is_accepted_and_it_ends_soon(full: Served) -> None:
    task_id = (await full.listing("/tasks/running"))[0]["id"]

    reply = await full.client.delete(f"/tasks/{task_id}")

    assert reply.status_code == 202
    assert reply.json()["state"] == "running"
    await full.until(lambda now: now.store.finished == {"cancelled": 1})
    assert await state_of(full, task_id) == ("finished", "cancelled")


async def test_a_finished_task_cannot_be_cancelled(served: Served) -> None:
    task_id = await submit(served, "a")
    await served.until(lambda now: now.store.finished == {"succeeded": 1})

    assert problem_in(await served.client.delete(f"/tasks/{task_id}"), 409)
    assert await state_of(served, task_id) == ("finished", "succeeded")


async def test_a_record_that_left_the_history_is_gone(serve_here: ServeHere) -> None:
    served = await serve_here(history_records_max=1)
    task_ids = []
    for number in range(2):
        task_ids.append(await submit(served, f"t{number}"))
        await served.until(lambda now, number=number: now.store.finished == {"succeeded": number + 1})  # type: ignore[misc]

    assert problem_in(await served.client.get(f"/tasks/{task_ids[0]}"), 410)
    assert problem_in(await served.client.delete(f"/tasks/{task_ids[0]}"), 410)
    assert await served.names("/tasks/finished") == ["t1"]


@pytest.mark.parametrize(
    "task_id", ["x", "000000-1", "a-b", "%00", "%F0%9F%98%80", "123456-99999999999999999999", "-1", "%20", "a%2Fb"]
)
async def test_an_id_that_was_never_given_out_is_unknown(served: Served, task_id: str) -> None:
    await submit(served, "a")

    assert problem_in(await served.client.get(f"/tasks/{task_id}"), 404)
    assert problem_in(await served.client.delete(f"/tasks/{task_id}"), 404)


@pytest.mark.parametrize("path", GET_PATHS)
async def test_an_empty_listing_is_an_empty_list(served: Served, path: str) -> None:
    reply = await served.client.get(path)

    assert (reply.status_code, reply.content) == (200, b"[]")
    assert "link" not in reply.headers


@pytest.mark.parametrize("path", [*GET_PATHS, "/tasks?limit=1", "/tasks/{id}", "/tasks/x", "/livez", "/readyz", "/x"])
async def test_head_is_answered_as_get_without_a_body(full: Served, path: str) -> None:
    path = path.format(id=(await full.listing())[0]["id"])
    got = await full.client.get(path)

    headed = await full.client.head(path)

    same = ("content-type", "content-length", "link")
    assert headed.status_code == got.status_code
    assert [headed.headers.get(name) for name in same] == [got.headers.get(name) for name in same]
    assert headed.content == b""
    assert (await full.client.get("/livez")).status_code == 200


async def test_listings_have_an_order(serve_here: ServeHere, gate: Gate) -> None:
    served = await serve_here(pool_size=2, handler=gate)
    for name in ("r0", "r1"):
        await submit(served, name)
        await trio.sleep(0.002)
    await served.until(lambda now: now.store.running == 2)
    await served.client.post(
        "/tasks",
        json=[{"name": "low", "priority": -1}, {"name": "p0"}, {"name": "p1"}, {"name": "high", "priority": 100}],
    )

    assert await served.names("/tasks/running") == ["r0", "r1"]
    assert await served.names("/tasks/pending") == ["high", "p0", "p1", "low"]
    assert await served.names("/tasks") == ["high", "p0", "p1", "low", "r0", "r1"]


async def test_finished_tasks_are_listed_with_the_latest_first(serve_here: ServeHere) -> None:
    served = await serve_here(pool_size=1)
    await served.client.post("/tasks", json=[{"name": name} for name in "abc"])
    await served.until(lambda now: now.store.finished == {"succeeded": 3})

    assert await served.names("/tasks/finished") == ["c", "b", "a"]


async def test_tasks_are_found_by_name_and_by_state(full: Served) -> None:
    [p0, _] = await full.listing("/tasks/pending")
    await full.client.delete(f"/tasks/{p0['id']}")
    await submit(full, "p0")

    async def found(query: str) -> list[tuple[str, str]]:
        return [(record["name"], record["state"]) for record in await full.listing(f"/tasks?{query}")]

    assert await found("name=p0") == [("p0", "pending"), ("p0", "finished")]
    assert await found("name=p0&state=finished") == [("p0", "finished")]
    assert await found("state=running") == [("r", "running")]
    assert await found("name=r&state=pending") == []
    assert await found("name=none") == []
    assert await found("name=%ff%00") == []
