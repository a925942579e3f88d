"""Defaults of handlers, over HTTP: a field that the submit contains wins, also with the value that it has anyway."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pexecutor.handlers import load_catalogue

from ..conftest import Served, ServeHere

DECLARED = {"sleep": {"timeout": 5000, "retries": 3, "tags": ["nightly"]}, "other": {"command": ["true"]}}

BUILT_IN: dict[str, Any] = {"timeout": None, "retries": 0, "tags": []}
FILLED: dict[str, Any] = {"timeout": 5000, "retries": 3, "tags": ["nightly"]}

CASES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, FILLED),
    ({"retries": 0}, FILLED | {"retries": 0}),
    ({"timeout": None, "tags": []}, FILLED | {"timeout": None, "tags": []}),
    ({"retries": 7}, FILLED | {"retries": 7}),
    ({"handler": "other"}, BUILT_IN),
]


@pytest.fixture
async def served(serve_here: ServeHere) -> Served:
    return await serve_here(catalogue=load_catalogue(declared=DECLARED, modules=(), environment={}))


def shown(record: dict[str, Any]) -> dict[str, Any]:
    return {"timeout": record["timeout"], "retries": record["retries"], "tags": record.get("tags", [])}


async def record_of(served: Served, name: str) -> dict[str, Any]:
    [found] = (await served.client.get("/tasks", params={"name": name})).json()
    record: dict[str, Any] = (await served.client.get(f"/tasks/{found['id']}")).json()
    return record


@pytest.mark.parametrize(("fields", "expected"), CASES, ids=str)
async def test_an_object_is_filled(served: Served, fields: dict[str, Any], expected: dict[str, Any]) -> None:
    for name in ("first", "again"):  # the second time, the fast listener knows the head
        task = {"name": name, "delay": 100_000, **fields}

        assert shown((await served.client.post("/tasks", json=task)).json()) == expected


async def test_each_task_of_a_list_is_filled(served: Served) -> None:
    tasks = [{"name": str(index), "delay": 100_000, **fields} for index, (fields, _) in enumerate(CASES)]
    await served.client.post("/tasks", json=tasks)

    for index, (_, expected) in enumerate(CASES):
        assert shown(await record_of(served, str(index))) == expected


@pytest.mark.parametrize("end", [b"", b"\n\n", b"\n{}"])
async def test_each_line_of_a_stream_is_filled(served: Served, end: bytes) -> None:
    tasks = [{"name": str(index), "delay": 100_000, **fields} for index, (fields, _) in enumerate(CASES)]
    lines = b"\n".join(map(msgspec.json.encode, tasks)) + end
    await served.client.post("/tasks", content=lines, headers={"Content-Type": "application/x-ndjson"})

    for index, (_, expected) in enumerate(CASES):
        assert shown(await record_of(served, str(index))) == expected


@pytest.mark.parametrize(("fields", "expected"), CASES, ids=str)
async def test_a_schedule_is_filled_at_each_occurrence(
    served: Served, fields: dict[str, Any], expected: dict[str, Any]
) -> None:
    task = {"name": "t", "delay": 100_000, **fields}
    stored = await served.client.put("/schedules/s", json={"every": 86_400_000, "task": task})
    again = await served.client.put("/schedules/s", json={"every": 86_400_000, "task": task})
    ran = await served.client.post("/schedules/s/run")

    assert (stored.status_code, again.status_code) == (201, 200)
    assert stored.json()["task"] == again.json()["task"] == task
    assert shown(ran.json()) == expected


async def test_a_declared_field_is_part_of_the_definition(served: Served) -> None:
    for task in ({"name": "t"}, {"name": "t", "retries": 0}, {"name": "t"}):
        shown_task = (await served.client.put("/schedules/s", json={"every": 86_400_000, "task": task})).json()["task"]

        assert shown_task == task


async def test_the_handlers_show_their_defaults(served: Served) -> None:
    views = {view["name"]: view["defaults"] for view in await served.listing("/handlers")}

    assert views == {"sleep": FILLED, "other": {}}


async def test_a_schedule_takes_no_field_of_the_store(served: Served) -> None:
    sent = {"every": 86_400_000, "task": {"name": "t"}, "given": ["retries"]}

    assert (await served.client.put("/schedules/s", json=sent)).status_code == 400


@pytest.mark.parametrize(("fields", "expected"), CASES[:2] + CASES[3:], ids=str)
async def test_a_delivery_to_a_hook_is_filled(
    serve_here: ServeHere, fields: dict[str, Any], expected: dict[str, Any]
) -> None:
    secret = "s" * 20
    hook = {"scheme": "bearer", "secret": secret, "task": {"name": "{body.name}", "delay": 100_000, **fields}}
    catalogue = load_catalogue(declared=DECLARED, modules=(), environment={})
    served = await serve_here(catalogue=catalogue, hooks={"deploy": hook})
    reply = await served.client.post("/hooks/deploy", json={"name": "n"}, headers={"Authorization": f"Bearer {secret}"})

    assert shown(reply.json()) == expected
