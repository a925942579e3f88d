"""Many clients at once, and clients that disconnect at the worst moment.

The number of connections is limited; the order of their requests is not.
"""

from __future__ import annotations

import random
import socket
import struct
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import msgspec
import pytest
import trio

from ...fakes import Gate
from ..conftest import Served, ServeHere
from ..raw import JSON, RawClient, RawReply, connected, request

CONNECTIONS = 40
REQUESTS = 200
ROUNDS = 50

RESET = struct.pack("ii", 1, 0)
"""The ``SO_LINGER`` value with which a close sends a reset."""


async def test_of_two_hundred_submits_of_one_name_exactly_one_is_accepted(serve_here: ServeHere, gate: Gate) -> None:
    served = await serve_here(handler=gate)

    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(served.port)) for _ in range(CONNECTIONS)]
        for number in range(ROUNDS):
            replies = await ask_at_once(clients, request("POST /tasks", JSON, body=b'{"name": "t%d"}' % number))
            [accepted] = [reply.json() for reply in replies if reply.status_code == 202]
            holders = {reply.json()["holder"]["id"] for reply in replies if reply.status_code == 409}
            assert len(replies) == REQUESTS
            assert holders == {accepted["id"]}

    assert served.executor.statistics().submitted == ROUNDS
    assert served.executor.statistics().duplicates == ROUNDS * (REQUESTS - 1)


async def ask_at_once(clients: list[RawClient], data: bytes) -> list[RawReply]:
    """Send the same request repeatedly on all connections; return all replies."""
    replies: list[RawReply] = []

    async def ask(client: RawClient) -> None:
        await client.send(data * (REQUESTS // CONNECTIONS))
        replies.extend([await client.reply() for _ in range(REQUESTS // CONNECTIONS)])

    async with trio.open_nursery() as nursery:
        for client in clients:
            nursery.start_soon(ask, client)
    return replies


def batch(client: int) -> list[dict[str, Any]]:
    return [{"name": f"client-{client}-task-{task}"} for task in range(5)]


def batch_json(client: int) -> bytes:
    return msgspec.json.encode(batch(client))


async def submit_and_leave(
    served: Served, data: bytes, *, after: float, by_reset: bool, not_before: trio.Event | None = None
) -> None:
    """Send these bytes, then disconnect after a moment or after the event, with or without a reset."""
    async with await trio.open_tcp_stream("127.0.0.1", served.port) as stream:
        if by_reset:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        await stream.send_all(data)
        if not_before is not None:
            await not_before.wait()
        await trio.sleep(after)


async def settled(served: Served) -> set[str]:
    """Wait until the server has processed all requests; return the names in flight."""
    before, now = {""}, set[str]()
    with trio.fail_after(5):
        while before != now:
            before, now = now, set(await served.names())
            await trio.sleep(0.05)
    return now


@pytest.mark.parametrize("seed", range(3))
async def test_a_client_that_leaves_in_the_middle_leaves_whole_batches_or_nothing(
    serve_here: ServeHere, gate: Gate, seed: int
) -> None:
    chance = random.Random(seed)
    served = await serve_here(handler=gate)

    async with trio.open_nursery() as nursery:
        for client in range(100):
            data = request("POST /tasks", JSON, body=batch_json(client))
            cut = chance.choice([len(data), len(data), chance.randrange(len(data))])
            after, by_reset = chance.choice([0, 0, 0.001, 0.01]), chance.random() < 0.5
            nursery.start_soon(partial(submit_and_leave, served, data[:cut], after=after, by_reset=by_reset))

    in_flight = await settled(served)
    for client in range(100):
        names = {task["name"] for task in batch(client)}
        assert names <= in_flight or names.isdisjoint(in_flight)
        verdicts = (await served.client.post("/tasks?verdicts=all", json=batch(client))).json()["Tasks"]
        expected = "duplicate" if names <= in_flight else "accepted"
        assert [entry["verdict"] for entry in verdicts] == [expected] * 5
    assert len(await served.names()) == len(set(await served.names())) == 500


async def test_clients_that_leave_while_they_wait_for_room_take_no_place_with_them(
    serve_here: ServeHere, gate: Gate
) -> None:
    chance = random.Random(0)
    served = await serve_here(pool_size=1, queue_size=3, handler=gate)
    await served.client.post("/tasks", json=[{"name": name} for name in "abc"])

    async with trio.open_nursery() as nursery:
        all_wait = trio.Event()
        for client in range(50):
            data = request("POST /tasks?wait_for_room=20", JSON, body=batch_json(client))
            leave = partial(submit_and_leave, after=chance.uniform(0, 0.3), by_reset=False, not_before=all_wait)
            nursery.start_soon(leave, served, data)
        await served.until(lambda now: now.waiting_for_room == 50, seconds_max=30)
        all_wait.set()
        gate.open()

    await served.until(lambda now: now.waiting_for_room == now.store.pending == now.store.running == 0)
    for client in range(50):
        reply = await served.client.post("/tasks?wait_for_room=5&verdicts=all", json=batch(client))
        assert [entry["verdict"] for entry in reply.json()["Tasks"]] == ["accepted"] * 5
