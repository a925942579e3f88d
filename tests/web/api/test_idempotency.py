"""Submits with an ``Idempotency-Key``: whatever is repeated is accepted once, and answered as the first time."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
import trio

from ...fakes import Gate
from ..conftest import Served, ServeHere
from ..replies import counts_in, problem_in
from ..tokens import TABLES, TOKENS, bearer

KEY = {"Idempotency-Key": "8e03978e-40d5-43e8-bc93-6894a57f9324"}
TASK = {"name": "report", "duration": 1}


async def post(served: Served, content: Any = TASK, headers: dict[str, str] = KEY, query: str = "") -> httpx2.Response:
    return await served.client.post(f"/tasks{query}", json=content, headers=headers)


async def test_a_repeated_task_is_accepted_once_and_shown_as_it_is_now(served: Served) -> None:
    first = await post(served)
    await served.until(lambda now: now.store.history == 1)

    again = await post(served)

    assert (first.status_code, again.status_code) == (202, 202)
    assert first.headers["location"] == again.headers["location"] == f"/tasks/{again.json()['id']}"
    assert (again.json()["id"], again.json()["state"]) == (first.json()["id"], "finished")
    assert await served.names() == ["report"]


async def test_a_key_in_quotes_is_the_key_without_them(served: Served) -> None:
    first = await post(served, headers={"Idempotency-Key": 'a"b'})
    again = await post(served, headers={"Idempotency-Key": r'"a\"b"'})

    assert first.json()["id"] == again.json()["id"]


@pytest.mark.parametrize("listed", ["all", "refused", "none"])
async def test_a_repeated_list_gets_the_same_verdicts(serve_here: ServeHere, gate: Gate, listed: str) -> None:
    served = await serve_here(queue_size=2, handler=gate)
    tasks = [{"name": name} for name in "aabc"]

    first = await post(served, tasks, query=f"?verdicts={listed}")
    again = await post(served, tasks, query=f"?verdicts={listed}")

    assert (first.status_code, again.status_code) == (429, 429)
    assert counts_in(first) == counts_in(again) == (4, 2, 1, 1)
    assert _without_states(first) == _without_states(again)
    assert sorted(await served.names()) == ["a", "b"]


def _without_states(reply: httpx2.Response) -> list[tuple[int, str, str, str | None]]:
    return [(each["index"], each["name"], each["verdict"], each.get("id")) for each in reply.json()["Tasks"]]


@pytest.mark.parametrize(
    ("content", "query"), [({"name": "other"}, ""), ([TASK], ""), (TASK, "?atomic=true"), (TASK, "?verdicts=all")]
)
async def test_another_request_with_the_key_is_refused(served: Served, content: Any, query: str) -> None:
    await post(served)

    reply = await post(served, content, query=query)

    assert "use a new key" in problem_in(reply, 422)["detail"]
    assert await served.names() == ["report"]


async def test_a_repetition_may_wait_longer(served: Served) -> None:
    first = await post(served)
    again = await post(served, query="?wait=20&wait_for_room=5")

    assert (again.status_code, again.json()["outcome"]) == (200, "succeeded")
    assert again.json()["id"] == first.json()["id"]


async def test_a_request_that_accepted_nothing_is_decided_anew(serve_here: ServeHere, gate: Gate) -> None:
    served = await serve_here(handler=gate)
    await served.client.post("/tasks", json=TASK)
    refused = await post(served)
    gate.open()
    await served.until(lambda now: now.store.history == 1)

    accepted = await post(served)

    assert (refused.status_code, accepted.status_code) == (409, 202)


async def test_tokens_do_not_share_their_keys(serve_here: ServeHere) -> None:
    served = await serve_here(tokens=TABLES)

    replies = [
        await post(served, {"name": scope}, KEY | bearer(TOKENS[scope])) for scope in ("submit", "admin", "submit")
    ]

    assert [reply.status_code for reply in replies] == [202, 202, 202]
    first, other, again = [reply.json()["id"] for reply in replies]
    assert first == again != other


async def test_a_stream_cannot_have_a_key(served: Served) -> None:
    headers = KEY | {"Content-Type": "application/x-ndjson"}
    reply = await served.client.post("/tasks", content=b'{"name": "a"}\n', headers=headers)

    assert "a stream cannot have an Idempotency-Key" in problem_in(reply, 400)["detail"]
    assert await served.names() == []


@pytest.mark.parametrize("values", [[""], ['""'], ['"open'], ["two words"], ["x" * 256], ["a", "b"]], ids=repr)
async def test_an_invalid_key_is_refused(served: Served, values: list[str]) -> None:
    headers = [("Idempotency-Key", value) for value in values]
    reply = await served.client.post("/tasks", json=TASK, headers=headers)

    assert "invalid Idempotency-Key" in problem_in(reply, 400)["detail"]
    assert await served.names() == []


async def test_a_repetition_under_way_is_refused_until_the_first_is_answered(full: Served, gate: Gate) -> None:
    """The queue is full, so the first request waits for room."""
    replies: list[httpx2.Response] = []

    async def first() -> None:
        replies.append(await post(full, query="?wait_for_room=20"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(first)
        await full.until(lambda now: now.waiting_for_room == 1)
        early = await post(full)
        gate.open()
    again = await post(full)

    assert "is under way" in problem_in(early, 409)["detail"]
    assert early.headers["retry-after"] == "1"
    assert (replies[0].status_code, again.status_code) == (202, 202)
    assert replies[0].json()["id"] == again.json()["id"]


async def test_an_answer_outlives_the_record(served: Served) -> None:
    task = TASK | {"keep": 0, "priority": 5}
    first = await post(served, task)
    await served.until(lambda now: not now.store.pending + now.store.running)

    again = await post(served, task)

    assert again.status_code == 202
    shown = again.json()
    assert (shown["id"], shown["state"], shown["priority"]) == (first.json()["id"], "finished", 5)
    assert "outcome" not in shown
    listed = await post(served, [task], {"Idempotency-Key": "2"}, "?verdicts=all")
    await served.until(lambda now: not now.store.pending + now.store.running)
    repeated = await post(served, [task], {"Idempotency-Key": "2"}, "?verdicts=all")
    assert repeated.json()["Tasks"][0] | {"since": 0} == listed.json()["Tasks"][0] | {"state": "finished", "since": 0}
