"""Connections whose server leaves new clients to the next one: they end with their next reply, and without a reset.

``tests/server/test_restart.py`` does the same with real servers. Times are real but short.
"""

from __future__ import annotations

import socket

import pytest
import trio

from pexecutor.web.serving.idle import IdleConnections, has_unread_input
from pexecutor.web.serving.listener import FIRST_REQUEST_SECONDS, HttpServer

from ..conftest import Served
from ..raw import JSON, RawClient, connected, request
from ..replies import problem_in

LIVEZ = request("GET /livez")
SUBMIT = request("POST /tasks", JSON, body=b'{"name":"a"}')
AT_ONCE = 0.5


async def hand_over(served: Served) -> None:
    assert isinstance(served.http, HttpServer)
    await served.http.stop_accepting()


async def is_last(client: RawClient, data: bytes, status: int) -> bool:
    """Send a request; return whether the reply says that it is the last one, and the connection ends."""
    reply = await client.ask(data)
    assert reply.status_code == status
    return reply.headers.get("connection") == "close" and await client.ended_within(AT_ONCE)


@pytest.mark.parametrize(("data", "status"), [(LIVEZ, 200), (SUBMIT, 202), (request("GET /docs"), 200)])
async def test_the_next_reply_is_the_last_one(served: Served, data: bytes, status: int) -> None:
    async with connected(served.port) as used, connected(served.port) as fresh:
        await used.ask(SUBMIT.replace(b'"a"', b'"b"'))
        await hand_over(served)

        assert not await used.ended_within(0.1), "an idle connection stays open"
        assert await is_last(used, data, status)
        assert await is_last(fresh, LIVEZ, 200)


async def test_a_reply_that_was_under_way_says_that_it_is_the_last_one(full: Served) -> None:
    async with connected(full.port) as client:
        await client.send(request("POST /tasks?wait_for_room=0.3", JSON, body=b'{"name": "late"}'))
        await full.until(lambda now: now.waiting_for_room == 1)
        await hand_over(full)

        reply = await client.reply()

        assert problem_in(reply, 429)
        assert reply.headers["connection"] == "close"
        assert await client.ended_within(AT_ONCE)


async def test_a_connection_that_was_just_accepted_may_send_its_request(served: Served) -> None:
    async with connected(served.port) as client:
        await trio.sleep(0.05)
        await hand_over(served)
        served.http.stop()
        await trio.sleep(0.2)

        assert await is_last(client, LIVEZ, 200)


async def test_an_idle_connection_is_closed_when_that_time_is_over(served: Served) -> None:
    async with connected(served.port) as client:
        await client.ask(LIVEZ)
        await hand_over(served)
        served.http.stop()

        assert not await client.ended_within(FIRST_REQUEST_SECONDS / 2)
        assert await client.ended_within(FIRST_REQUEST_SECONDS)


async def test_a_request_that_arrives_with_the_stop_is_answered(served: Served) -> None:
    async with connected(served.port) as client, connected(served.port) as half:
        await client.ask(LIVEZ)
        await half.ask(LIVEZ)
        assert isinstance(client.stream, trio.SocketStream)
        assert isinstance(half.stream, trio.SocketStream)
        served.http.stop()
        await client.stream.socket.send(LIVEZ)
        await half.stream.socket.send(LIVEZ[:10])

        assert (await client.reply()).status_code == 200
        assert await half.ended_within(AT_ONCE)
        with trio.fail_after(AT_ONCE):
            await served.http_ended.wait()


async def test_requests_sent_ahead_of_the_last_reply_do_not_reset_it(served: Served) -> None:
    async with connected(served.port) as client:
        await client.ask(LIVEZ)
        await hand_over(served)

        ahead = request("POST /livez", body=b" " * 16_000) * 40
        await client.send(request("GET /tasks") + ahead)

        reply = await client.reply()
        assert (reply.status_code, reply.headers["connection"]) == (200, "close")
        assert await client.ended_within(AT_ONCE), "the end of the connection, and no reset"


class Waiting:
    """A connection that waits for a request."""

    def __init__(self, *, unread: bool) -> None:
        self._unread = unread
        self.has_ended = False

    def end(self) -> None:
        self.has_ended = True

    def has_unread_input(self) -> bool:
        return self._unread


async def test_a_connection_whose_request_has_arrived_is_not_idle() -> None:
    idle, asked = Waiting(unread=False), Waiting(unread=True)
    connections = IdleConnections(60)
    connections.add(idle, asked)

    connections.end_all()

    assert (idle.has_ended, asked.has_ended) == (True, False)


def test_unread_input_is_data_or_the_end_of_the_connection() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert not has_unread_input(ours.fileno())
        theirs.send(b"x")
        assert has_unread_input(ours.fileno())
        ours.recv(1)
        assert not has_unread_input(ours.fileno())
        theirs.close()
        assert has_unread_input(ours.fileno())
