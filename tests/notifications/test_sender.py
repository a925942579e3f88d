"""Requests to real receivers on the loopback address, and to addresses that must not be reached."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
import trio
import trustme
from standardwebhooks import Webhook
from trio.abc import Stream
from trio.testing import MockClock

from pexecutor.notifications.sender import REPLY_BYTES_MAX, opened
from pexecutor.notifications.sending import DELIVERED, Send, SendResult
from pexecutor.notifications.settings import load_targets

from .deliveries import delivery
from .network import Names, Receiver, receiving

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
AUTHORITY = trustme.CA()


@asynccontextmanager
async def sender(url: str, *, client: dict[str, Any] | None = None, **table: Any) -> AsyncIterator[Send]:
    targets = load_targets({"ops": {"url": url, "allow_private": True} | table}, [], {})
    async with opened(targets, **(client or {})) as send:
        yield send


async def sent_to(receiver: Receiver, **table: Any) -> SendResult:
    async with sender(f"http://127.0.0.1:{receiver.port}/in?key=hush", **table) as send:
        return await send(delivery())


async def test_a_receiver_gets_a_signed_request() -> None:
    async with receiving() as receiver:
        assert await sent_to(receiver, secret=SECRET) == DELIVERED

    [request], [head] = receiver.requests, receiver.heads
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:])}
    body = request.partition(b"\r\n\r\n")[2]
    assert head[0] == "POST /in?key=hush HTTP/1.1"
    assert headers["host"] == f"127.0.0.1:{receiver.port}"
    assert headers["content-type"] == "application/json"
    assert headers["webhook-id"] == "a3f09c-43"
    assert Webhook(SECRET).verify(body, headers) == json.loads(body)


async def test_each_attempt_has_its_own_time_and_the_same_id_and_body() -> None:
    times = iter([1000.9, 2000.9])
    async with (
        receiving() as receiver,
        sender(f"http://127.0.0.1:{receiver.port}/", client={"now": times.__next__}) as send,
    ):
        assert [await send(delivery()), await send(delivery())] == [DELIVERED, DELIVERED]

    stamps = [line for head in receiver.heads for line in head if line.startswith("webhook-timestamp")]
    assert stamps == ["webhook-timestamp: 1000", "webhook-timestamp: 2000"]
    assert len({request.partition(b"\r\n\r\n")[2] for request in receiver.requests}) == 1


async def test_a_user_in_the_url_becomes_a_header() -> None:
    async with receiving() as receiver, sender(f"http://me:p%40ss@127.0.0.1:{receiver.port}/") as send:
        assert await send(delivery()) == DELIVERED

    assert "authorization: Basic bWU6cEBzcw==" in receiver.heads[0]


@pytest.mark.parametrize(
    ("head", "result"),
    [
        ("204 No Content", DELIVERED),
        ("400 Bad Request", SendResult("failed", "status 400")),
        ("410 Gone", SendResult("gone", "status 410")),
        ("500 No\r\nRetry-After: soon", SendResult("failed", "status 500")),
        ("429 Wait\r\nRetry-After: 120", SendResult("failed", "status 429", 120)),
    ],
)
async def test_the_status_decides(head: str, result: SendResult) -> None:
    async with receiving(f"HTTP/1.1 {head}\r\nConnection: close\r\n\r\n".encode()) as receiver:
        assert await sent_to(receiver) == result


async def test_a_redirect_is_not_followed() -> None:
    async with receiving() as other:
        moved = f"HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:{other.port}/\r\nContent-Length: 0\r\n\r\n"
        async with receiving(moved.encode()) as receiver:
            result = await sent_to(receiver)

    assert result == SendResult("failed", "status 307, a redirect, which is not followed")
    assert not other.requests


@pytest.mark.parametrize(("status", "kind"), [(200, "delivered"), (500, "failed")])
async def test_a_reply_without_end_is_read_up_to_the_limit(status: int, kind: str) -> None:
    sent = 0

    async def flood(stream: Stream) -> None:
        nonlocal sent
        await stream.send_all(f"HTTP/1.1 {status} X\r\nContent-Length: {100 * 2**20}\r\n\r\n".encode())
        for _ in range(1600):
            await stream.send_all(b"x" * REPLY_BYTES_MAX)
            sent += REPLY_BYTES_MAX

    async with receiving(flood) as receiver:
        assert (await sent_to(receiver)).kind == kind

    assert sent < 50 * 2**20, "the rest is what the sockets' buffers take"


async def test_a_receiver_that_stalls_is_given_up(autojump_clock: MockClock) -> None:
    reached = []

    async def stall(request: httpx2.Request) -> httpx2.Response:
        reached.append(request.url.host)
        await trio.sleep(3600)
        return httpx2.Response(200)

    async with sender("http://127.0.0.1/in?key=hush", client={"transport": httpx2.MockTransport(stall)}) as send:
        assert await send(delivery()) == SendResult("failed", "http://127.0.0.1 did not reply within 10 s")

    assert trio.current_time() == 10
    assert reached == ["127.0.0.1"]


class _Endless(httpx2.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            await trio.sleep(3600)
            yield b"x"


async def test_a_reply_that_stalls_after_its_status_is_judged_by_the_status(autojump_clock: MockClock) -> None:
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, stream=_Endless()))
    async with sender("http://127.0.0.1/", client={"transport": transport}) as send:
        assert await send(delivery()) == DELIVERED
    assert trio.current_time() == 2


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (b"", "closed the connection early, or sent an invalid HTTP response"),
        (b"SSH-2.0-hello\r\n", "closed the connection early, or sent an invalid HTTP response"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 2**20 + b"\r\n\r\n", "closed the connection early"),
    ],
)
async def test_an_invalid_reply_is_a_failure(reply: bytes, why: str) -> None:
    async with receiving(reply) as receiver:
        result = await sent_to(receiver)

    assert result.kind == "failed"
    assert why in result.why
    assert "hush" not in result.why


async def test_a_port_without_a_server_is_a_failure() -> None:
    with trio.socket.socket() as bound:
        await bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        async with sender(f"http://127.0.0.1:{port}/in?key=hush") as send:
            assert await send(delivery()) == SendResult("failed", f"cannot connect to http://127.0.0.1:{port}")


# Addresses


@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1"])
async def test_a_name_with_a_private_address_is_refused_before_the_connection(names: Names, address: str) -> None:
    names.known["inside.example"] = [address]
    async with (
        receiving() as receiver,
        sender(f"http://inside.example:{receiver.port}/?key=hush", allow_private=False) as send,
    ):
        result = await send(delivery())

    assert result.kind == "failed"
    assert result.why == (
        f"http://inside.example:{receiver.port} has a private address: set allow_private = true if that is intended"
    )
    assert not receiver.requests


async def test_a_private_address_can_be_allowed(names: Names) -> None:
    names.known["inside.example"] = ["127.0.0.1"]
    async with receiving() as receiver, sender(f"http://inside.example:{receiver.port}/") as send:
        assert await send(delivery()) == DELIVERED

    assert f"host: inside.example:{receiver.port}" in [line.lower() for line in receiver.heads[0]]


async def test_the_connection_is_made_to_the_address_that_was_checked(names: Names) -> None:
    names.known["rebinding.example"] = ["93.184.215.14"]
    names.later["rebinding.example"] = ["127.0.0.1"]
    requests: list[httpx2.Request] = []

    def accept(request: httpx2.Request) -> httpx2.Response:
        requests.append(request)
        return httpx2.Response(200, stream=httpx2.ByteStream(b""))

    client = {"transport": httpx2.MockTransport(accept)}
    async with sender("https://rebinding.example/in", client=client, allow_private=False) as send:
        assert await send(delivery()) == DELIVERED
        assert names.looked_up == ["rebinding.example"], "a second look-up could give another address"
        assert (await send(delivery())).kind == "failed", "each attempt looks the name up anew"

    [request] = requests
    assert str(request.url) == "https://93.184.215.14/in"
    assert request.headers["host"] == "rebinding.example"
    assert request.extensions["sni_hostname"] == "rebinding.example"


async def test_the_next_address_is_tried_if_one_refuses(names: Names) -> None:
    names.known["two.example"] = ["127.0.0.2", "127.0.0.1"]
    async with receiving() as receiver, sender(f"http://two.example:{receiver.port}/") as send:
        assert await send(delivery()) == DELIVERED


@pytest.mark.parametrize("host", ["unknown.example", "a" * 64 + ".example"])
async def test_a_name_without_address_is_a_failure(names: Names, host: str) -> None:
    async with sender(f"https://{host}/?key=hush") as send:
        assert await send(delivery()) == SendResult("failed", f"the name of https://{host} cannot be resolved")


@pytest.mark.parametrize(
    ("certified", "result"),
    [
        ("receiver.example", DELIVERED),
        ("127.0.0.1", SendResult("failed", "invalid certificate of https://receiver.example:{port}")),
        ("other.example", SendResult("failed", "invalid certificate of https://receiver.example:{port}")),
    ],
)
async def test_the_certificate_must_be_for_the_name(names: Names, certified: str, result: SendResult) -> None:
    names.known["receiver.example"] = ["127.0.0.1"]
    servers, clients = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    AUTHORITY.issue_cert(certified).configure_cert(servers)
    AUTHORITY.configure_trust(clients)
    async with (
        receiving(tls=servers) as receiver,
        sender(f"https://receiver.example:{receiver.port}/", client={"verify": clients}) as send,
    ):
        assert await send(delivery()) == result._replace(why=result.why.format(port=receiver.port))
