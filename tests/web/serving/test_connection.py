"""Connections: kept, closed, refused for lack of a place, stalled, and ended by the stop.

These tests cover the places where the project patches the framework and its server. A new version of either can be used
once this module passes. Times are real but short.
"""

from __future__ import annotations

import socket
from contextlib import AsyncExitStack

import pytest
import trio

from pexecutor.web.serving import listener

from ...fakes import Gate
from ..conftest import Served, ServeHere, every_launch
from ..raw import CHUNKED, JSON, chunk, connected, request
from ..replies import problem_in, retry_after_in

LIVEZ = request("GET /livez")
AT_ONCE = 0.5


async def stopped_within(served: Served, seconds: float) -> bool:
    """Return whether the server ends within this time after a stop."""
    served.http.stop()
    with trio.move_on_after(seconds):
        await served.http_ended.wait()
    return served.http_ended.is_set()


@pytest.mark.parametrize(
    "data",
    [
        request("GET /livez", "Connection: close"),
        request("GET /none", "Connection: close"),
        request("GET /livez", "Connection: Keep-Alive, Close"),
        request("POST /tasks", JSON, "Connection: close", body=b"[]"),
        request("POST /tasks", "Connection: close", body=b"[]"),
        b"GET /livez HTTP/1.0\r\n\r\n",
    ],
)
async def test_a_connection_that_is_not_to_be_kept_is_closed_at_once(served: Served, data: bytes) -> None:
    async with connected(served.port) as client:
        await client.ask(data)
        assert await client.ended_within(AT_ONCE)


async def test_a_connection_is_kept_for_many_requests(served: Served) -> None:
    async with connected(served.port) as client:
        for _ in range(24):
            await client.send(LIVEZ * 50)
            assert {(await client.reply()).status_code for _ in range(50)} == {200}
        assert not await client.ended_within(0.01)


@every_launch
async def test_requests_that_are_sent_ahead_are_answered_in_their_order(served: Served) -> None:
    async with connected(served.port) as client:
        await client.send(LIVEZ + request("GET /none") + request("POST /tasks", JSON, body=b'{"name":"a"}') + LIVEZ)

        assert [(await client.reply()).status_code for _ in range(4)] == [200, 404, 202, 200]


@every_launch
async def test_no_more_is_read_ahead_of_a_reply_than_a_buffer_holds(full: Served) -> None:
    megabytes_sent_ahead = request("POST /livez", body=b" " * 16_000) * 1000
    async with connected(full.port) as client:
        await client.send(request("POST /tasks?wait_for_room=20", JSON, body=b'{"name": "late"}'))
        await full.until(lambda now: now.waiting_for_room == 1)

        with trio.move_on_after(AT_ONCE) as sending:
            await client.send(megabytes_sent_ahead)

        assert sending.cancelled_caught


@every_launch
async def test_an_idle_connection_is_closed_after_a_while(serve_here: ServeHere) -> None:
    served = await serve_here(request_timeout_seconds=0.3)

    async with connected(served.port) as fresh, connected(served.port) as used:
        for _ in range(3):  # more than the limit in total, but less between two requests
            await used.ask(LIVEZ)
            await trio.sleep(0.15)
        assert await fresh.ended_within(AT_ONCE)
        assert await used.ended_within(AT_ONCE)


@every_launch
async def test_the_stop_closes_idle_connections_promptly(served: Served) -> None:
    async with connected(served.port) as fresh, connected(served.port) as used, connected(served.port) as half:
        await used.ask(LIVEZ)
        await half.send(LIVEZ[:10])
        await trio.sleep(0.05)

        assert await stopped_within(served, AT_ONCE)
        assert [await client.ended_within(AT_ONCE) for client in (fresh, used, half)] == [True] * 3

    with pytest.raises(OSError, match=r"."):
        await trio.open_tcp_stream("127.0.0.1", served.port)


@every_launch
async def test_the_stop_lets_a_reply_that_is_under_way_end(full: Served) -> None:
    async with connected(full.port) as client:
        await client.send(request("POST /tasks?wait_for_room=0.3", JSON, body=b'{"name": "late"}'))
        await full.until(lambda now: now.waiting_for_room == 1)

        full.http.stop()
        reply = await client.reply()

        assert problem_in(reply, 429)
        assert retry_after_in(reply)
        assert await client.ended_within(AT_ONCE)
        assert await stopped_within(full, AT_ONCE)


@every_launch
async def test_a_client_that_never_reads_does_not_hold_up_the_stop(
    serve_here: ServeHere, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "STOP_SECONDS_MAX", 0.3)
    served = await serve_here(handler=gate)
    await served.client.post("/tasks", json=[{"name": f"{number:0>200}"} for number in range(1000)])

    with socket.socket() as stalled:
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stalled.connect(("127.0.0.1", served.port))
        stalled.setblocking(False)
        stalled.send(request("GET /tasks") * 100)  # the replies have about 40 MB
        await trio.sleep(0.5)

        assert not await stopped_within(served, 0.2)
        assert await stopped_within(served, 1)


@every_launch
@pytest.mark.parametrize("data", [request("POST /tasks", JSON, CHUNKED) + chunk(b"["), LIVEZ[:10]])
async def test_a_client_that_never_ends_its_request_does_not_hold_up_the_stop(
    served: Served, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    monkeypatch.setattr(listener, "STOP_SECONDS_MAX", 0.3)
    async with connected(served.port) as client:
        await client.send(data)
        await trio.sleep(0.05)

        assert await stopped_within(served, 1)


async def test_a_connection_over_the_limit_waits_for_another_to_close(serve_here: ServeHere) -> None:
    served = await serve_here(connections_max=2)

    async with AsyncExitStack() as stack:
        first, second, third = [await stack.enter_async_context(connected(served.port)) for _ in range(3)]
        await first.ask(LIVEZ)
        await second.ask(LIVEZ)
        await third.send(LIVEZ)
        with pytest.raises(trio.TooSlowError):
            await third.reply(seconds_max=0.2)

        await first.stream.aclose()

        assert (await third.reply()).status_code == 200
        assert (await second.ask(LIVEZ)).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"), [(["Content-Type: text/plain"], 415), ([JSON], 413)], ids=["media type", "size"]
)
async def test_an_early_error_can_be_read_by_a_client_that_is_still_sending(
    served: Served, headers: list[str], status: int
) -> None:
    megabyte, megabytes = b" " * 1_000_000, 20
    async with connected(served.port) as client:
        await client.send(request("POST /tasks", *headers, f"Content-Length: {megabytes * len(megabyte)}"))
        for _ in range(megabytes):
            await client.send(megabyte)
            await trio.sleep(0.01)

        assert problem_in(await client.reply(), status)
        assert (await client.ask(LIVEZ)).status_code == 200


async def test_a_client_that_asks_before_it_sends_its_body_is_told_to_go_on(served: Served) -> None:
    async with connected(served.port) as client:
        await client.send(request("POST /tasks", JSON, "Content-Length: 2", "Expect: 100-continue"))
        assert b" 100 " in await client.stream.receive_some(1000)

        assert (await client.ask(b"[]")).status_code == 200


@every_launch
@pytest.mark.parametrize("protocol", ["h2c", "websocket", "TLS/1.2", "x"])
async def test_an_offer_to_upgrade_is_ignored(served: Served, protocol: str) -> None:
    offer = ["Connection: Upgrade, HTTP2-Settings", f"Upgrade: {protocol}", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"]
    async with connected(served.port) as client:
        assert (await client.ask(request("GET /livez", *offer))).status_code == 200
        assert (await client.ask(request("POST /tasks", JSON, *offer, body=b"[]"))).status_code == 200
        assert (await client.ask(LIVEZ)).status_code == 200
        await client.send(request("GET /livez", *offer) * 100)
        assert {(await client.reply()).status_code for _ in range(100)} == {200}


async def test_the_preface_of_http_2_is_refused_and_the_connection_ends(served: Served) -> None:
    async with connected(served.port) as client:
        reply = await client.ask(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
        assert 400 <= reply.status_code < 500
        assert await client.ended_within(AT_ONCE)


async def test_something_senseless_behind_a_request_ends_the_connection_with_a_reply(served: Served) -> None:
    for _ in range(20):
        async with connected(served.port) as client:
            reply = await client.ask(request("GET /livez", "Connection: close") + b"\x00senseless")
            assert reply.status_code in (200, 400)
            assert await client.ended_within(AT_ONCE)
