"""Tests of ``POST /tasks/bulk``."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from pexecutor.core.bulk import STEP_TASKS_MAX

from ...fakes import Gate
from ..conftest import Served, ServeHere, every_launch
from ..raw import connected
from ..replies import problem_in


@pytest.fixture
async def busy(serve_here: ServeHere, gate: Gate) -> Served:
    """A server with one worker, which runs ``our-0``, and with five more tasks in its queue."""
    served = await serve_here(handler=gate, pool_size=1)
    await served.client.post("/tasks", json=[{"name": f"our-{number}"} for number in range(5)] + [{"name": "other"}])
    await served.until(lambda now: now.store.running == 1)
    return served


async def bulk(served: Served, **body: Any) -> Any:
    reply = await served.client.post("/tasks/bulk", json=body)
    assert reply.status_code == 200, reply.text
    return reply.json()


async def test_a_cancel(busy: Served) -> None:
    counted = await bulk(busy, action="cancel", filter={"name_prefix": "our-"}, dry_run=True)
    done = await bulk(busy, action="cancel", filter={"name_prefix": "our-"})

    assert done == counted | {"changed": 5}
    assert (done["matched"], done["unchanged"], done["more"], len(done["ids"])) == (5, 0, False, 5)
    assert "unknown" not in done
    await busy.until(lambda now: now.store.history == 5)
    assert sorted(await busy.names("/tasks?outcome=cancelled")) == [f"our-{number}" for number in range(5)]


async def test_a_priority(busy: Served) -> None:
    done = await bulk(busy, action="priority", filter={"state": "pending", "name_prefix": "our-"}, priority=-1, max=3)

    assert (done["matched"], done["changed"], done["more"]) == (3, 3, True)
    assert await busy.names("/tasks/pending") == ["our-4", "other", "our-1", "our-2", "our-3"]


async def test_a_retry_names_what_it_repeats(busy: Served) -> None:
    await bulk(busy, action="cancel", filter={"name_prefix": "our-4"})
    [ended] = await busy.listing("/tasks/finished")
    done = await bulk(busy, action="retry", ids=[ended["id"], "000000-1"])

    assert (done["matched"], done["changed"], done["unknown"], done["ids"]) == (1, 1, 1, [ended["id"]])
    [again] = await busy.listing("/tasks?name=our-4&state=pending")
    assert (await busy.client.get(f"/tasks/{again['id']}")).json()["retry_of"] == ended["id"]


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({}, "`action` is required"),
        ({"action": "cancel"}, "no task is named: give `filter` with at least one criterion, or `ids`"),
        ({"action": "cancel", "filter": {}}, "no task is named"),
        ({"action": "cancel", "filter": {"tag": []}}, "no task is named"),
        ({"action": "cancel", "ids": []}, "no task is named"),
        ({"action": "stop", "filter": {"tag": ["a"]}}, "`action`"),
        ({"action": "cancel", "filter": {"tags": ["a"]}}, "`filter.tags`"),
        ({"action": "cancel", "filter": {"tag": "a"}}, "`filter.tag`"),
        ({"action": "cancel", "filter": {"outcome": "failed"}}, "`filter` matches no"),
        ({"action": "cancel", "filter": {"tag": ["a"]}, "ids": ["000000-1"]}, "`filter` and `ids` exclude each other"),
        ({"action": "cancel", "filter": {"tag": ["a"]}, "priority": 1}, "`priority` must be given for the action"),
        ({"action": "priority", "filter": {"tag": ["a"]}}, "`priority` must be given for the action"),
        ({"action": "priority", "filter": {"tag": ["a"]}, "priority": 101}, "`priority`"),
        ({"action": "cancel", "filter": {"tag": ["a"]}, "max": 0}, "`max`"),
        ({"action": "cancel", "filter": {"tag": ["a"]}, "max": 100_001}, "`max`"),
        ({"action": "cancel", "ids": ["x"] * 1001}, "`ids`"),
        ({"action": "cancel", "filter": {"since": "today"}}, "`filter.since`"),
        ([], "a bulk body: expected `object`, got `array`"),
    ],
)
async def test_a_wrong_request_changes_nothing(busy: Served, body: Any, detail: str) -> None:
    problem = problem_in(await busy.client.post("/tasks/bulk", json=body), 400)

    assert detail in problem["errors"][0]["detail"]
    assert busy.executor.statistics().store.history == 0


async def test_the_path_has_one_method(served: Served) -> None:
    for method in ("GET", "DELETE", "PATCH"):
        reply = await served.client.request(method, "/tasks/bulk")
        assert (reply.status_code, set(reply.headers["Allow"].split(", "))) == (405, {"POST", "OPTIONS"})


async def test_a_server_that_stops_refuses_a_retry(busy: Served) -> None:
    await bulk(busy, action="cancel", filter={"name": "our-4"})
    busy.executor.drain()

    problem = problem_in(
        await busy.client.post("/tasks/bulk", json={"action": "retry", "filter": {"outcome": "cancelled"}}), 503
    )

    assert "draining" in problem["detail"]


@every_launch
async def test_a_client_that_leaves_stops_it(
    serve_here: ServeHere, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = await serve_here(handler=gate, pool_size=1, queue_size=5000)
    await served.client.post("/tasks", json=[{"name": f"our-{number}"} for number in range(3000)])
    store, stepped, go_on = served.executor._store, trio.Event(), trio.Event()
    cancel_many = store.cancel_many

    async def cancel_slowly(task_ids: Any) -> Any:
        done = await cancel_many(task_ids)
        stepped.set()
        await go_on.wait()
        return done

    monkeypatch.setattr(store, "cancel_many", cancel_slowly)
    body = b'{"action": "cancel", "filter": {"name_prefix": "our-"}, "max": 5000}'
    async with connected(served.port) as client:
        await client.send(
            b"POST /tasks/bulk HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        await stepped.wait()
    await trio.sleep(0.2)
    go_on.set()
    await trio.sleep(0.2)

    assert served.executor.statistics().store.history == STEP_TASKS_MAX
