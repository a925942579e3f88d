"""Tests of the criteria by which clients find tasks."""

from __future__ import annotations

from typing import Any

import pytest

from ...fakes import Gate
from ..conftest import Served, ServeHere
from ..events import reading
from ..replies import problem_in


@pytest.fixture
async def filled(serve_here: ServeHere, gate: Gate) -> Served:
    """A server with one worker: a task runs, three wait, and two were cancelled."""
    served = await serve_here(handler=gate, pool_size=1)
    tasks: list[dict[str, Any]] = [
        {"name": "runs"},
        {"name": "import-1", "tags": ["nightly", "big"]},
        {"name": "import-2", "tags": ["nightly"]},
        {"name": "late", "delay": 3_600_000},
        {"name": "gone-1", "tags": ["big"]},
        {"name": "gone-2"},
    ]
    await served.client.post("/tasks", json=tasks)
    for name in ("gone-1", "gone-2"):
        [record] = await served.listing(f"/tasks?name={name}")
        await served.client.delete(f"/tasks/{record['id']}")
    return served


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("tag=nightly", ["import-1", "import-2"]),
        ("tag=nightly&tag=big", ["import-1"]),
        ("tag=big", ["import-1", "gone-1"]),
        ("tag=none", []),
        ("name_prefix=import-", ["import-1", "import-2"]),
        ("name_prefix=gone&tag=big", ["gone-1"]),
        ("outcome=cancelled", ["gone-2", "gone-1"]),
        ("outcome=failed", []),
        ("handler=sleep&state=scheduled", ["late"]),
        ("handler=other", []),
        ("state=finished&name=gone-1", ["gone-1"]),
        ("state=running&outcome=cancelled", []),
        ("since=2030-01-31T00:00:00Z", []),
        ("until=2030-01-31T00:00:00%2B01:00&state=running", ["runs"]),
        ("finished_since=2020-01-31T00:00:00Z", ["gone-2", "gone-1"]),
        ("error=disk", []),
    ],
)
async def test_a_listing_has_what_meets_every_criterion(filled: Served, query: str, names: list[str]) -> None:
    assert await filled.names(f"/tasks?{query}") == names


async def test_the_link_of_a_page_keeps_every_criterion(filled: Served) -> None:
    names, path = [], "/tasks?tag=nightly&tag=nightly&since=2020-01-31T00:00:00%2B01:00&limit=1"
    while path:
        reply = await filled.client.get(path)
        names += [record["name"] for record in reply.json()]
        path = reply.links.get("next", {}).get("url", "")

    assert names == ["import-1", "import-2"]


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("outcome=done", "`outcome`"),
        ("state=done", "`state`"),
        ("tag=", "`tag`"),
        ("&".join(["tag=a"] * 11), "`tag`"),
        ("name_prefix=", "`name_prefix`"),
        ("error=", "`error`"),
        ("since=yesterday", "`since`"),
        ("since=2030-01-31T00:00:00", "`since`"),
        ("until=2030-01-31", "`until`"),
        ("finished_since=1", "`finished_since`"),
        ("since=2030-01-31T00:00:00+01:00", "write + as %2B"),
        ("name=a&name=b", "`name` is given more than once"),
        ("tags=a", "did you mean `tag`"),
        ("colour=red", "unknown query parameter `colour`"),
    ],
)
@pytest.mark.parametrize("path", ["/tasks", "/events"])
async def test_a_wrong_criterion_is_refused(served: Served, path: str, query: str, detail: str) -> None:
    reply = await served.client.get(f"{path}?{query}")

    assert detail in problem_in(reply, 400)["detail"]


async def test_events_are_those_of_tasks_that_meet_every_criterion(served: Served) -> None:
    async with reading(served, "/events?tag=nightly&name_prefix=b") as reader:
        await served.client.post("/tasks", json=[{"name": "b"}, {"name": "a", "tags": ["nightly"]}])
        await served.client.post("/tasks", json={"name": "b-1", "tags": ["nightly"]})
        states = await reader.tasks(3)

    assert states == [("b-1", "pending"), ("b-1", "running"), ("b-1", "finished")]
