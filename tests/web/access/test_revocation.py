"""A token that is removed from the settings, or gets another scope: its requests, streams and sessions end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio

from pexecutor.access import hash_token
from pexecutor.config import Config
from pexecutor.web.access.gate import access_rules

from ...fakes import Gate
from ..conftest import Served, ServeHere, every_launch
from ..raw import CHUNKED, JSON, NDJSON, RawClient, chunk, connected, request
from ..tokens import TABLES, TOKENS, bearer

OTHER_TOKEN = f"pex_{'other':x<43}"
OTHER_TABLE = {"sha256": hash_token(OTHER_TOKEN), "scope": "submit"}

OWN = f"Authorization: Bearer {TOKENS['submit']}"
OTHER = f"Authorization: Bearer {OTHER_TOKEN}"
SECONDS_MAX = 1.0
"""Within this time, what belongs to a removed token ends."""

CHANGES: dict[str, dict[str, Any]] = {
    "removed": {},
    "rotated": {"submit-only": {"sha256": hash_token(f"pex_{'new':x<43}"), "scope": "submit"}},
    "demoted": {"submit-only": {**TABLES["submit-only"], "scope": "read"}},
}
"""What the settings have in place of the token."""


def change(served: Served, kind: str) -> None:
    """Change the settings of the token with the scope ``submit``; those of the other tokens stay."""
    tables = {name: table for name, table in TABLES.items() if name != "submit-only"}
    served.web.gate.apply(access_rules(Config(tokens={**tables, **CHANGES[kind], "other": OTHER_TABLE})))


@pytest.fixture
async def guarded(serve_here: ServeHere, gate: Gate) -> Served:
    """A server with four tokens, which runs an endless task."""
    served = await serve_here(tokens={**TABLES, "other": OTHER_TABLE}, handler=gate)
    served.client.headers |= bearer(OTHER_TOKEN)
    return served


async def running_task(served: Served) -> str:
    reply = await served.client.post("/tasks", json={"name": "runs"})
    await served.until(lambda now: now.store.running == 1)
    task_id: str = reply.json()["id"]
    return task_id


@asynccontextmanager
async def opened(served: Served, *requests: bytes) -> AsyncIterator[list[RawClient]]:
    """Send each request on its own connection, and wait until each is being answered."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(served.port)) for _ in requests]
        for client, data in zip(clients, requests, strict=True):
            await client.send(data)
        with trio.fail_after(5):
            while len(served.web.gate.admissions) < len(requests):  # noqa: ASYNC110
                await trio.sleep(0.001)
        yield clients


def streams(task_id: str, *headers: str) -> list[bytes]:
    return [request(f"GET {path}", *headers) for path in ("/events", f"/tasks/{task_id}/log?follow=true")]


def waits(task_id: str, *headers: str) -> list[bytes]:
    return [
        request(f"GET /tasks/{task_id}?wait=60", *headers),
        request("POST /tasks?wait=60", JSON, *headers, body=b'{"name": "waits"}'),
        request("PATCH /tasks/x", JSON, *headers, "Content-Length: 100"),
        request("POST /tasks/bulk", JSON, *headers, "Content-Length: 100"),
    ]


async def the_end(client: RawClient) -> None:
    """Read chunks up to the last one, which marks the end of the reply."""
    while await client.chunk():
        pass


@every_launch
async def test_streams_are_cut_off(guarded: Served) -> None:
    task_id = await running_task(guarded)
    async with opened(guarded, *streams(task_id, OWN), *streams(task_id, OTHER)) as (*own, other_events, other_log):
        for client in (*own, other_events, other_log):
            assert (await client.head()).status_code == 200
        change(guarded, "removed")
        with trio.fail_after(SECONDS_MAX):
            for client in own:
                with pytest.raises(EOFError):
                    await the_end(client)
        await guarded.client.delete(f"/tasks/{task_id}")
        await the_end(other_log)
        await guarded.until(lambda _: len(guarded.web.gate.admissions) == 1)  # the stream of events of the other token


@every_launch
async def test_waiting_requests_are_refused(guarded: Served) -> None:
    task_id = await running_task(guarded)
    async with opened(guarded, *waits(task_id, OWN), *waits(task_id, OTHER)[:1]) as (*own, other):
        change(guarded, "removed")
        for client in own:
            reply = await client.reply()  # the rest of a body is read for a moment first
            assert (reply.status_code, "was removed" in reply.json()["detail"]) == (401, True)
        await guarded.client.delete(f"/tasks/{task_id}")
        assert (await other.reply()).status_code == 200


@every_launch
async def test_a_stream_of_tasks_is_refused_with_its_counts(guarded: Served) -> None:
    tasks = request("POST /tasks", NDJSON, CHUNKED, OWN) + chunk(b'{"name": "a"}\n{"name": "b"}\n')
    async with opened(guarded, tasks) as [client]:
        await guarded.until(lambda now: now.submitted == 2)
        change(guarded, "removed")
        reply = await client.reply(seconds_max=SECONDS_MAX)
        assert (reply.status_code, reply.json()["SubmittedTasks"]) == (401, 2)


@every_launch
async def test_a_kept_connection_is_refused_from_the_next_request_on(guarded: Served) -> None:
    submit = request("POST /tasks", JSON, OWN, body=b'{"name": "a", "on_conflict": "join"}')
    show = request("GET /handlers", OWN)
    async with connected(guarded.port) as client:
        assert [(await client.ask(data)).status_code for data in (submit, submit, show)] == [202, 202, 200]
        change(guarded, "removed")
        assert [(await client.ask(data)).status_code for data in (submit, show)] == [401, 401]


@pytest.mark.parametrize("kind", CHANGES)
async def test_only_sessions_of_the_token_end(guarded: Served, kind: str) -> None:
    guarded.client.headers.pop("authorization")
    cookies = []
    for token in (TOKENS["submit"], OTHER_TOKEN):
        reply = await guarded.client.post("/session", json={"token": token})
        cookies.append(reply.headers["set-cookie"].partition(";")[0])
        guarded.client.cookies.clear()
    change(guarded, kind)
    replies = [await guarded.client.get("/session", headers={"Cookie": cookie}) for cookie in cookies]
    assert [reply.status_code for reply in replies] == [401, 200]
    assert replies[1].json() == {"name": "other", "scope": "submit"}


async def test_anonymous_streams_end_when_tokens_come(serve_here: ServeHere) -> None:
    served = await serve_here()
    async with opened(served, request("GET /events")) as [client]:
        served.web.gate.apply(access_rules(Config()))
        assert (await client.head()).status_code == 200
        served.web.gate.apply(access_rules(Config(tokens=TABLES)))
        assert await client.ended_within(SECONDS_MAX)


async def test_unchanged_rules_end_nothing(guarded: Served) -> None:
    async with opened(guarded, request("GET /events", OWN)) as [client]:
        guarded.web.gate.apply(access_rules(Config(tokens=msgspec.json.decode(msgspec.json.encode({**TABLES})))))
        assert (await client.head()).status_code == 200
        await guarded.client.get("/livez")
        assert len(guarded.web.gate.admissions) == 1
