"""Limits, pauses and reasons over HTTP: who may pause, what is shown, and what the metrics and events say."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from pexecutor.handlers import Catalogue
from pexecutor.handlers.limits import DeclaredLimits, LimitSettings
from pexecutor.handlers.settings import HandlerSettings
from pexecutor.limits.defaults import LIMIT_SETTINGS_MAX

from ...fakes import Doing, Gate
from ..conftest import Served, ServeHere
from ..events import reading
from ..replies import faults_in, problem_in
from ..tokens import TABLES, TOKENS, bearer

LIMITS = {"api": LimitSettings(concurrency=1, per="params.account"), "disk": LimitSettings(concurrency=3)}
SETTINGS = {"sleep": HandlerSettings(concurrency=2), "sync": HandlerSettings(limits=("disk", "api"))}


def limited(gate: Gate) -> Catalogue:
    """Two handlers: ``sync`` has both limits, and ``sleep`` a number of its own."""
    return Catalogue({"sleep": gate, "sync": gate}, (), SETTINGS, DeclaredLimits(LIMITS, SETTINGS))


@pytest.fixture
async def served(serve_here: ServeHere, gate: Gate) -> Served:
    return await serve_here(catalogue=limited(gate))


async def submit(served: Served, name: str, handler: str = "sleep", **params: Any) -> str:
    reply = await served.client.post("/tasks", json={"name": name, "handler": handler, "params": params})
    assert reply.status_code == 202, reply.text
    return str(reply.json()["id"])


async def why(served: Served, task_id: str) -> list[dict[str, Any]]:
    reasons: list[dict[str, Any]] = (await served.client.get(f"/tasks/{task_id}/why")).json()
    return reasons


async def post(served: Served, path: str) -> list[dict[str, Any]]:
    reply = await served.client.post(path)
    assert reply.status_code == 200, reply.text
    pauses: list[dict[str, Any]] = reply.json()["pauses"]
    return pauses


# Pause and resume


async def test_a_pause_holds_tasks_back_until_it_ends(served: Served, gate: Gate) -> None:
    [pause] = await post(served, "/pause")
    assert (pause["what"], pause["by"], "handler" in pause) == ("everything", "anonymous", False)
    await submit(served, "waits")
    await trio.testing.wait_all_tasks_blocked(0.05)
    assert gate.started == []

    assert await post(served, "/resume") == []
    await served.until(lambda now: now.store.running == 1)


async def test_pausing_twice_changes_nothing(served: Served) -> None:
    first = await post(served, "/handlers/sync/pause")

    assert await post(served, "/handlers/sync/pause") == first
    assert [pause["what"] for pause in await post(served, "/pause")] == ["everything", "handler"]
    assert await post(served, "/resume") == await post(served, "/resume") == first
    assert await post(served, "/handlers/sync/resume") == await post(served, "/handlers/sync/resume") == []


async def test_a_pause_beyond_the_bound_is_refused(served: Served) -> None:
    numbers = {f"limit-{number}": 1 for number in range(LIMIT_SETTINGS_MAX)}
    await served.executor.limits.store.set_numbers(numbers, {"sleep": None})

    problem = problem_in(await served.client.post("/pause"), 429)

    assert problem["detail"].startswith("the store keeps at most 1000 limits, numbers of handlers and pauses together")


@pytest.mark.parametrize("action", ["pause", "resume"])
async def test_an_unknown_handler_is_refused(served: Served, action: str) -> None:
    problem = problem_in(await served.client.post(f"/handlers/snyc/{action}"), 404)

    assert problem["detail"] == "no handler has the name 'snyc'; the handlers are: sleep, sync"


async def test_a_pause_of_a_handler_that_is_gone_can_be_ended(served: Served) -> None:
    await served.executor.limits.store.pause("gone", "ops")

    assert await post(served, "/handlers/gone/resume") == []


async def test_a_filtered_stream_has_no_pauses(served: Served) -> None:
    async with reading(served, "/events?name=one") as reader:
        await post(served, "/pause")
        await post(served, "/resume")
        await submit(served, "one")

        assert (await reader.next()).event == "task"


@pytest.mark.parametrize("path", ["/pause", "/resume", "/handlers/sleep/pause", "/handlers/sleep/resume"])
async def test_only_an_admin_pauses(serve_here: ServeHere, path: str) -> None:
    served = await serve_here(tokens=TABLES)

    assert (await served.client.post(path, headers=bearer(TOKENS["submit"]))).status_code == 403
    assert (await served.client.post(path, headers=bearer(TOKENS["admin"]))).status_code == 200


async def test_the_pause_names_its_token(serve_here: ServeHere) -> None:
    served = await serve_here(tokens=TABLES)
    reply = await served.client.post("/pause", headers=bearer(TOKENS["admin"]))

    assert [pause["by"] for pause in reply.json()["pauses"]] == ["admin-only"]


async def test_pauses_are_events_only_when_they_change_something(served: Served) -> None:
    async with reading(served) as reader:
        for path in ("/handlers/sync/pause", "/handlers/sync/pause", "/resume", "/handlers/sync/resume", "/pause"):
            await post(served, path)
        messages = [await reader.next() for _ in range(3)]

    found = [(message.event, message.data) for message in messages]
    assert [kind for kind, _ in found] == ["paused", "resumed", "paused"]
    assert (found[0][1]["handler"], found[0][1]["by"], "since" in found[0][1]) == ("sync", "anonymous", True)
    assert found[1][1] == {"what": "handler", "handler": "sync", "by": "anonymous"}
    assert found[2][1]["what"] == "everything"


# Why


async def test_a_task_that_runs_or_has_ended_has_no_reason(served: Served, gate: Gate) -> None:
    task_id = await submit(served, "runs")
    await served.until(lambda now: now.store.running == 1)
    assert await why(served, task_id) == []

    gate.open()
    await served.client.get(f"/tasks/{task_id}", params={"wait": 5})
    assert await why(served, task_id) == []


async def test_a_full_limit_is_a_reason_with_its_holders(served: Served) -> None:
    holder = await submit(served, "one", "sync", account="acme")
    waiting = await submit(served, "two", "sync", account="acme")
    await submit(served, "three", "sync", account="other")
    await served.until(lambda now: now.store.running == 2)
    [reason] = await why(served, waiting)

    assert reason == {
        "reason": "limit",
        "detail": "the limit limits.api of 1 is reached for 'acme'",
        "which": "limits.api",
        "key": "acme",
        "concurrency": 1,
        "ids": [holder],
    }
    [listed] = await served.listing("/tasks/pending")
    assert listed["blocked_by"] == [reason["detail"]]
    assert (await served.client.get(f"/tasks/{waiting}")).json()["blocked_by"] == [reason["detail"]]


async def test_the_limit_of_a_handler_names_its_table(served: Served) -> None:
    ids = [await submit(served, str(number)) for number in range(3)]
    await served.until(lambda now: now.store.running == 2)
    [reason] = await why(served, ids[2])

    assert (reason["which"], reason["concurrency"], reason["ids"], "key" in reason) == (
        "handlers.sleep",
        2,
        ids[:2],
        False,
    )


async def test_reasons_come_in_order(served: Served) -> None:
    ids = [await submit(served, str(number)) for number in range(3)]
    await served.until(lambda now: now.store.running == 2)
    await post(served, "/handlers/sleep/pause")
    await post(served, "/pause")
    reasons = await why(served, ids[2])

    assert [(reason["reason"], reason.get("what")) for reason in reasons] == [
        ("paused", "everything"),
        ("paused", "handler"),
        ("limit", None),
    ]
    assert reasons[1]["detail"].startswith("the handler 'sleep' is paused since 20")


async def test_a_task_that_is_not_due_is_due_later(served: Served) -> None:
    record = (await served.client.post("/tasks", json={"name": "later", "delay": 60_000})).json()

    assert await why(served, record["id"]) == [
        {"reason": "due", "detail": f"the task is due at {record['due_at']}", "until": record["due_at"]}
    ]


async def test_a_value_that_no_limit_can_count_is_a_fault(served: Served) -> None:
    reply = await served.client.post("/tasks", json={"name": "n", "handler": "sync", "params": {"account": [1]}})

    assert faults_in(reply) == [(0, "params.account")]


# What is shown


async def test_handlers_show_their_limits_and_pauses(served: Served) -> None:
    await submit(served, "one", "sync", account="acme")
    await served.until(lambda now: now.store.running == 1)
    await post(served, "/handlers/sleep/pause")
    shown = {
        view["name"]: (view["limits"], [each["what"] for each in view["pauses"]])
        for view in await served.listing("/handlers")
    }

    assert shown == {
        "sleep": ([{"which": "handlers.sleep", "concurrency": 2, "slots_in_use": 0, "keys_full": 0}], ["handler"]),
        "sync": (
            [
                {"which": "limits.api", "concurrency": 1, "slots_in_use": 1, "keys_full": 1},
                {"which": "limits.disk", "concurrency": 3, "slots_in_use": 1, "keys_full": 0},
            ],
            [],
        ),
    }


async def test_readiness_shows_limits_and_pauses(served: Served) -> None:
    await submit(served, "one", "sync", account="acme")
    await served.until(lambda now: now.store.running == 1)
    await post(served, "/pause")
    limits = (await served.client.get("/readyz")).json()["statistics"]["store"]["limits"]

    assert [use["which"] for use in limits["limits"]] == ["handlers.sleep", "limits.api", "limits.disk"]
    assert [pause["what"] for pause in limits["pauses"]] == ["everything"]


async def test_metrics_show_slots_in_use_and_pauses(served: Served) -> None:
    await submit(served, "one", "sync", account="acme")
    await served.until(lambda now: now.store.running == 1)
    await post(served, "/pause")
    await post(served, "/handlers/sync/pause")
    lines = (await served.client.get("/metrics")).text.splitlines()

    assert {
        'pexecutor_limit_slots_in_use{limit="limits.api"} 1.0',
        'pexecutor_limit_keys_full{limit="limits.api"} 1.0',
        'pexecutor_limit_slots_in_use{limit="handlers.sleep"} 0.0',
        "pexecutor_paused 1.0",
        'pexecutor_handler_paused{handler="sync"} 1.0',
        'pexecutor_handler_paused{handler="sleep"} 0.0',
    } <= set(lines)


async def test_nothing_is_blocked_without_limits(serve_here: ServeHere, gate: Gate) -> None:
    served = await serve_here(pool_size=1, handler=gate)
    await submit(served, "one")
    waiting = await submit(served, "two")
    await served.until(lambda now: now.store.running == 1)

    assert [reason["reason"] for reason in await why(served, waiting)] == ["pool_busy"]
    assert "blocked_by" not in (await served.client.get(f"/tasks/{waiting}")).json()


async def test_a_start_stores_the_numbers_of_the_settings(serve_here: ServeHere) -> None:
    async def work(*_: Any) -> None: ...

    handlers = {"sleep": Doing(work), "sync": Doing(work)}
    served = await serve_here(catalogue=Catalogue(handlers, (), SETTINGS, DeclaredLimits(LIMITS, SETTINGS)))
    numbers = (await served.executor.limits.store.state()).numbers

    assert (numbers.limits, numbers.handlers) == ({"api": 1, "disk": 3}, {"sleep": 2})
