"""Tags: labels of a task, shown wherever its record is."""

from __future__ import annotations

import msgspec

from ...fakes import Gate
from ..conftest import ServeHere

TAGS = ["zeta", "team blue", "ä" * 64]


async def test_tags_are_kept_in_their_order_and_shown_in_every_reply(serve_here: ServeHere, gate: Gate) -> None:
    served = await serve_here(handler=gate)
    sent = [{"name": "one", "tags": TAGS}, {"name": "two", "tags": TAGS}, {"name": "three", "tags": TAGS}]
    one = await served.client.post("/tasks", json=sent[0])
    await served.client.post("/tasks", json=[sent[1]])
    await served.client.post(
        "/tasks", content=msgspec.json.encode(sent[2]), headers={"Content-Type": "application/x-ndjson"}
    )
    assert one.json()["tags"] == TAGS
    assert [record["tags"] for record in await served.listing()] == [TAGS] * 3
    assert (await served.client.get(one.headers["location"])).json()["tags"] == TAGS


async def test_a_task_without_tags_has_no_such_member(serve_here: ServeHere, gate: Gate) -> None:
    served = await serve_here(handler=gate)
    shown = (await served.client.post("/tasks", json={"name": "plain", "tags": []})).json()

    assert "tags" not in shown
