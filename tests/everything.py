"""Run every deed on a store and make every kind of request: meanwhile, afterwards, and after a restart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import httpx2
import msgspec
import trio

from pexecutor import Executor, load_catalogue
from pexecutor.config import Config
from pexecutor.stores import Store
from pexecutor.values import ERROR_BYTES_MAX
from pexecutor.web import create_web, make_http
from pexecutor.web.serving.listener import HttpServer, listen

from .misbehaving import DEEDS, Deed

HANDLERS: Final = ("in_trio", "in_trio_at_once", "in_a_thread")
WAIT_SECONDS_MAX: Final = 90.0
PATHS: Final = (
    "/tasks",
    "/tasks/finished",
    "/tasks/pending",
    "/tasks/running",
    "/statistics/history",
    "/handlers",
    "/openapi.json",
    "/metrics",
)


async def try_everything(make_store: Callable[[], Store], *, keeps: bool) -> None:
    """Run every deed in every way; check that the server survives, each record is correct, and each list works."""
    async with trio.open_nursery() as nursery:
        life = await nursery.start(_serve, make_store())
        await _submit_all(life.client)
        lines: list[str] = []
        nursery.start_soon(_read_events, life.client, lines)
        records = await _all_ended(life.client)
        await _look_at_all(life.client, records)
        nursery.cancel_scope.cancel()
    for line in lines:
        assert isinstance(msgspec.json.decode(line), dict)
    if keeps:
        async with trio.open_nursery() as nursery:
            life = await nursery.start(_serve, make_store())
            again = await _records(life.client)
            assert {name: record["state"] for name, record in again.items()} == {
                name: record["state"] for name, record in records.items()
            }
            await _look_at_all(life.client, again)
            nursery.cancel_scope.cancel()


class _Life:
    def __init__(self, executor: Executor, client: httpx2.AsyncClient) -> None:
        self.executor = executor
        self.client = client


async def _serve(store: Store, *, task_status: trio.TaskStatus[_Life] = trio.TASK_STATUS_IGNORED) -> None:
    config = msgspec.structs.replace(Config(), port=0)
    catalogue = load_catalogue(declared={}, modules=["tests.misbehaving"], environment={})
    executor = Executor(store, pool_size=3, handlers=catalogue)
    http = HttpServer(
        make_http(create_web(executor, config), config), listen("127.0.0.1", 0), connections_max=100, tls=None
    )
    async with httpx2.AsyncClient(base_url=http.url, timeout=60) as client, trio.open_nursery() as nursery:
        await nursery.start(executor.run)
        nursery.start_soon(http.run)
        task_status.started(_Life(executor, client))


async def _submit_all(client: httpx2.AsyncClient) -> None:
    tasks = [
        {
            "name": f"{handler}: {do}",
            "handler": handler,
            "params": {"do": do},
            "retries": int(do.startswith("retry:")),
            "retry_delay": 0,
        }
        for handler in HANDLERS
        for do in DEEDS
    ]
    reply = await client.post("/tasks", json=tasks)
    assert reply.status_code == 200, reply.text
    assert reply.json()["SubmittedTasks"] == len(tasks)


async def _records(client: httpx2.AsyncClient) -> dict[str, Any]:
    reply = await client.get("/tasks")
    assert reply.status_code == 200, reply.text
    return {record["name"]: record for record in reply.json()}


def _deed(record: dict[str, Any]) -> Deed:
    return DEEDS[record["name"].partition(": ")[2]]


def _is_over(record: dict[str, Any]) -> bool:
    over: bool = record["state"] == ("scheduled" if _deed(record).later else "finished")
    return over


async def _all_ended(client: httpx2.AsyncClient) -> dict[str, Any]:
    with trio.fail_after(WAIT_SECONDS_MAX):
        while True:
            records = await _records(client)
            if all(map(_is_over, records.values())):
                return records
            await trio.sleep(0.1)


def _judge(record: dict[str, Any]) -> None:
    """Compare a displayed record with its deed."""
    name, deed, error = record["name"], _deed(record), record["attempts"][-1].get("error")
    if deed.error is None:
        assert error is None, (name, error)
        assert record["outcome"] == "succeeded", name
    else:
        assert error is not None, name
        assert deed.error in error, (name, error[:200])
        assert len(error.encode()) <= ERROR_BYTES_MAX, name
        assert deed.later or (record["outcome"], record["error"]) == ("failed", error), name
    if deed.result is not None:
        assert record["result"] == msgspec.json.decode(deed.result), name


async def _look_at_all(client: httpx2.AsyncClient, records: dict[str, Any]) -> None:
    assert len(records) == len(HANDLERS) * len(DEEDS)
    for path in PATHS:
        reply = await client.get(path)
        assert reply.status_code == 200, (path, reply.text)
    for name, record in records.items():
        reply = await client.get(f"/tasks/{record['id']}")
        assert reply.status_code == 200, (name, reply.text)
        _judge(reply.json())


async def _read_events(client: httpx2.AsyncClient, lines: list[str]) -> None:
    async with client.stream("GET", "/events") as reply:
        assert reply.status_code == 200
        async for line in reply.aiter_lines():
            lines += [line.removeprefix("data:")] if line.startswith("data:") else []
