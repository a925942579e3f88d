"""The client against servers that lose replies, are full, are stopping, are restarted, or are slow."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from pexecutor import (
    AsyncClient,
    DrainingError,
    DuplicateError,
    ForeignReplyError,
    GapEvent,
    NotAllowedError,
    NotAuthenticatedError,
    NotFoundError,
    QueueFullError,
    RefusedError,
    TaskEvent,
    UnreachableError,
)

from ..cli.proxy import Proxy, proxy_to
from ..server.process import ServerProcess
from .drivers import SUBMITS, Run
from .standins import Scripted, Seen, losing_replies, scripted

RECORD: Final = {
    "id": "a3f09c-42",
    "name": "a",
    "state": "pending",
    "handler": "sleep",
    "submitted_at": "2026-11-25T00:26:41.991Z",
}
ACCEPTED: Final = Scripted(202, RECORD)
LOST: Final = Scripted(None)
GATEWAY: Final = Scripted(502, b"<h1>Bad Gateway</h1>")


def problem(status: int, **members: Any) -> Scripted:
    """Return a refusal."""
    retry_after = {name: str(members.pop(name)) for name in ("Retry-After",) if name in members}
    return Scripted(status, {"title": "", "status": status, "detail": f"refused {status}", **members}, retry_after)


UNDER_WAY: Final = problem(409, **{"Retry-After": 0})
DRAINING: Final = problem(503, verdict="draining", **{"Retry-After": 0})


def keys(seen: list[Seen]) -> list[str]:
    return [{name.lower(): value for name, value in request.headers.items()}["idempotency-key"] for request in seen]


def test_submits_through_a_proxy_that_loses_every_third_reply(run: Run, server: ServerProcess, name: str) -> None:
    ids: list[str] = []

    async def test(client: AsyncClient) -> None:
        ids.extend([(await client.submit(f"{name} {number}", delay=3_600_000)).id for number in range(SUBMITS)])
        listed = [record.id async for record in client.list(name_prefix=f"{name} ")]
        assert sorted(listed) == sorted(ids)

    with losing_replies(server.url, every=3) as url:
        run(test, url)
    assert len(set(ids)) == SUBMITS


def test_lists_and_cancels_through_that_proxy(run: Run, server: ServerProcess, name: str) -> None:
    async def test(client: AsyncClient) -> None:
        for number in range(6):
            handle = await client.submit(f"{name} {number}", delay=3_600_000)
            assert (await handle.cancel()).outcome == "cancelled"
        for number in range(3):
            tasks = await client.submit_many({"name": f"{name} {number} {each}"} for each in range(5))
            assert len(tasks.accepted) == 5

    with losing_replies(server.url, every=3) as url:
        run(test, url)


@pytest.mark.parametrize("failure", [LOST, GATEWAY, problem(503), UNDER_WAY, DRAINING], ids=str)
def test_a_submit_is_repeated_with_its_key(run: Run, failure: Scripted) -> None:
    async def test(client: AsyncClient) -> None:
        assert (await client.submit("a")).id == RECORD["id"]

    with scripted(failure, failure, ACCEPTED) as (url, seen):
        run(test, url)
    assert len(set(keys(seen))) == 1
    assert len(seen) == 3
    assert len({request.body for request in seen}) == 1


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (LOST, UnreachableError),
        (GATEWAY, UnreachableError),
        (problem(503), RefusedError),
        (UNDER_WAY, RefusedError),
        (DRAINING, DrainingError),
    ],
    ids=str,
)
def test_the_error_comes_in_the_end(run: Run, failure: Scripted, error: type[Exception]) -> None:
    async def test(client: AsyncClient) -> None:
        with pytest.raises(error):
            await client.submit("a")

    with scripted(failure) as (url, seen):
        run(test, url, retry_seconds_max=0.2)
    assert len(seen) >= 2


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (problem(400), RefusedError),
        (problem(401), NotAuthenticatedError),
        (problem(403), NotAllowedError),
        (problem(404), NotFoundError),
        (problem(409, holder=RECORD), DuplicateError),
        (problem(422), RefusedError),
        (problem(429, verdict="full", **{"Retry-After": 7}), QueueFullError),
        (problem(500), RefusedError),
        (problem(503, verdict="draining", **{"Retry-After": 60}), DrainingError),
        (Scripted(200, [1]), ForeignReplyError),
        (Scripted(200, b"<html>"), ForeignReplyError),
    ],
    ids=str,
)
def test_other_refusals_of_a_submit_are_raised_at_once(run: Run, reply: Scripted, error: type[Exception]) -> None:
    async def test(client: AsyncClient) -> None:
        with pytest.raises(error) as raised:
            await client.submit("a")
        if isinstance(raised.value, QueueFullError):
            assert raised.value.retry_after_seconds == 7

    with scripted(reply) as (url, seen):
        run(test, url)
    assert len(seen) == 1


def test_nothing_else_is_repeated(run: Run) -> None:
    async def test(client: AsyncClient) -> None:
        for call in (
            lambda: client.schedules.run("s"),
            lambda: client.schedules.pause("s"),
            lambda: client.schedules.put("s", {"name": "s"}, every=1000),
            client.pause,
            lambda: client.resume("h"),
            lambda: client.cancel_many(name="a"),
            client.drain,
        ):
            with pytest.raises(UnreachableError):
                await call()

    with scripted(LOST) as (url, seen):
        run(test, url)
    assert len(seen) == 7


def test_reads_and_removals_are_repeated(run: Run) -> None:
    async def test(client: AsyncClient) -> None:
        assert await client.handlers() == ()
        await client.schedules.delete("s")

    with scripted(LOST, GATEWAY, Scripted(200, []), LOST, problem(404)) as (url, seen):
        run(test, url)
    assert [request.method for request in seen] == ["GET", "GET", "GET", "DELETE", "DELETE"]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with a pool of one and a queue of one."""
    home = tmp_path_factory.mktemp("small")
    server = ServerProcess("-port", "0", "--store", "memory", "--pool-size", "1", "--queue-size", "1", log=home / "log")
    yield server
    server.close()


def test_a_full_queue(run: Run, small: ServerProcess, name: str) -> None:
    async def test(client: AsyncClient) -> None:
        running = await client.submit(f"{name} running", duration=60_000)
        waiting = await client.submit(f"{name} waiting", delay=60_000)
        with pytest.raises(QueueFullError) as full:
            await client.submit(name)
        assert full.value.retry_after_seconds is not None
        with pytest.raises(QueueFullError):
            await client.submit(name, wait_for_room_seconds=0.05)
        tasks = await client.submit_many([{"name": name}, {"name": f"{name} waiting"}])
        assert [verdict.verdict for verdict in tasks.verdicts] == ["full", "duplicate"]
        await waiting.change(run_at="now")
        await running.cancel()
        handle = await client.submit(name, wait_for_room_seconds=30)
        assert (await handle.wait(30)).outcome == "succeeded"

    run(test, small.url)


def test_a_draining_server(run: Run, tmp_path: Path, name: str) -> None:
    server = ServerProcess("-port", "0", "--store", "memory", "--drain-timeout", "30", log=tmp_path / "log")

    async def test(client: AsyncClient) -> None:
        handle = await client.submit(name, duration=60_000)
        status = await client.drain()
        assert status.phase == "draining"
        assert not (await client.status()).is_ready
        with pytest.raises(DrainingError):
            await client.submit("late")
        with pytest.raises(RefusedError):
            await client.schedules.run("late")
        tasks = await client.submit_many([{"name": "late"}])
        assert [verdict.verdict for verdict in tasks.rejected] == ["draining"]
        await handle.cancel()

    try:
        run(test, server.url, retry_seconds_max=0.1)
        assert server.wait() == 0
    finally:
        server.close()


def test_a_wait_and_a_submit_outlive_a_restart(run: Run, tmp_path: Path, name: str) -> None:
    flags = ("--data-dir", str(tmp_path / "tasks"), "--pool-size", "1")
    servers = [ServerProcess("-port", "0", *flags, log=tmp_path / "log")]
    port = servers[0].url.rsplit(":", 1)[1]

    async def test(client: AsyncClient) -> None:
        handle = await client.submit(name, duration=300)
        async with client.events() as events:
            servers[0].signal(signal.SIGKILL)
            servers[0].wait()
            servers.append(ServerProcess("-port", port, *flags, log=tmp_path / "log2"))
            assert (await handle.wait(30)).outcome == "succeeded"
            async for event in events:
                if isinstance(event, GapEvent):
                    break
        again = await client.submit(f"{name} again", duration=1)
        assert (await again.wait(30)).outcome == "succeeded"

    try:
        run(test, servers[0].url)
    finally:
        for server in servers:
            server.close()


def test_events_and_logs_go_on_where_they_were(run: Run, server: ServerProcess, name: str) -> None:
    def cut_and_mend(proxy: Proxy) -> None:
        proxy.cut()
        proxy.mend()

    async def test(client: AsyncClient) -> None:
        async with client.events(name=name) as events:
            handle = await client.submit(name, "counts", params={"to": 20, "pause": 0.02})
            numbers = []
            async with handle.logs(follow=True) as rows:
                async for row in rows:
                    numbers.append(int(row.text.split()[1]))
                    if numbers[-1] == 5:
                        cut_and_mend(proxy)
            assert numbers == [*range(20)]
            states = []
            async for event in events:
                if isinstance(event, TaskEvent):
                    states.append(event.record.state)
                    if event.record.is_finished:
                        break
            assert states == ["pending", "running", "finished"]
        assert (await handle.wait(5)).result == "counted"

    with proxy_to(server.url) as proxy:
        run(test, proxy.url)


DEEP: Final = b'{"a":' + b"[" * 5000 + b"]" * 5000 + b"}"
SAME_PAGE: Final = Scripted(200, [], {"Link": '</tasks?cursor=1>; rel="next"'})


@pytest.mark.parametrize(
    "reply",
    [
        Scripted(200, DEEP),
        Scripted(200, b""),
        SAME_PAGE,
        Scripted(200, [], {"Link": '<http://[::1/tasks?cursor=1>; rel="next"'}),
    ],
)
def test_a_list_from_another_server(run: Run, reply: Scripted) -> None:
    async def test(client: AsyncClient) -> None:
        with pytest.raises(ForeignReplyError):
            _ = [record async for record in client.list()]

    with scripted(reply) as (url, _):
        run(test, url)


def test_a_refusal_that_is_nested_too_deeply_has_its_status(run: Run) -> None:
    async def test(client: AsyncClient) -> None:
        with pytest.raises(RefusedError, match="status 400"):
            await client.handlers()

    with scripted(Scripted(400, DEEP)) as (url, _):
        run(test, url)


@pytest.mark.parametrize(
    "message",
    [
        b"id: " + b"9" * 5000,
        b"retry: " + b"9" * 5000,
        b"event: \xff\ndata: {}",
        b"data: " + DEEP,
        b"event: task\ndata: {}",
    ],
)
def test_events_from_another_server(run: Run, message: bytes) -> None:
    async def test(client: AsyncClient) -> None:
        with pytest.raises(ForeignReplyError):
            async with client.events() as events:
                await anext(aiter(events))

    with scripted(Scripted(200, message + b"\n\n")) as (url, _):
        run(test, url)


@pytest.mark.parametrize("row", [b'{"offset": 0, "base64": "a"}', b'{"offset": 0, "base64": "\xc3\xa4"}', DEEP])
def test_a_log_from_another_server(run: Run, row: bytes) -> None:
    async def test(client: AsyncClient) -> None:
        with pytest.raises(ForeignReplyError):
            _ = [line async for line in (await client.get("a3f09c-42")).logs()]

    with scripted(Scripted(200, RECORD), Scripted(200, row + b"\n")) as (url, _):
        run(test, url)


def test_a_log_that_has_arrived_can_be_left_half_way(run: Run) -> None:
    async def test(client: AsyncClient) -> None:
        async with (await client.get("a3f09c-42")).logs() as lines:
            assert (await anext(aiter(lines))).text == "a"
        assert (await client.get("a3f09c-42")).name == "a"

    rows = b'{"offset": 0, "text": "a"}\n{"offset": 1, "text": "b"}\n'
    with scripted(Scripted(200, RECORD), Scripted(200, rows), Scripted(200, RECORD)) as (url, _):
        run(test, url)


def test_a_slow_server_is_unreachable_after_the_time_limit(run: Run) -> None:
    async def test(client: AsyncClient) -> None:
        with pytest.raises(UnreachableError, match="did not reply in time"):
            await client.handlers()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        run(test, url, reply_seconds_max=0.05, retry_seconds_max=0.1)
