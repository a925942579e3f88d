"""Tests of HTTP handlers against a server with many kinds of behaviour."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from typing import Any

import pytest
import trio

from pexecutor import Catalogue, Context, HandlerFailedError
from pexecutor.handlers import load_catalogue

from ..conftest import Lab, task

Behaviour = Callable[[trio.SocketStream, bytes], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine"


class Peer:
    """A server with one behaviour, which records the requests that it gets."""

    def __init__(self, behave: Behaviour) -> None:
        self.requests: list[bytes] = []
        self._behave = behave

    async def serve(self, stream: trio.SocketStream) -> None:
        received = b""
        try:
            while b"\r\n\r\n" not in received or len(received) < _length_of(received):
                if not (data := await stream.receive_some(65_536)):
                    return
                received += data
            self.requests.append(received)
            await self._behave(stream, received)
        except trio.BrokenResourceError:
            pass


def _length_of(received: bytes) -> int:
    head, _, _ = received.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return len(head) + 4 + int(line.split(b":")[1])
    return len(head) + 4


def answer(data: bytes) -> Behaviour:
    async def behave(stream: trio.SocketStream, _: bytes) -> None:
        await stream.send_all(data)

    return behave


def status(code: int, *headers: str) -> Behaviour:
    head = "\r\n".join([f"HTTP/1.1 {code} Whatever", "Content-Length: 0", *headers])
    return answer(f"{head}\r\n\r\n".encode())


@asynccontextmanager
async def calling(lab: Lab, behave: Behaviour, **table: Any) -> AsyncIterator[tuple[Catalogue, Peer]]:
    """Return a handler that calls a peer with this behaviour."""
    peer = Peer(behave)
    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(partial(trio.serve_tcp, peer.serve, 0, host="127.0.0.1"))
        port = listener.socket.getsockname()[1]
        table["url"] = table.get("url", "http://127.0.0.1:{port}/hook").replace("{port}", str(port))
        catalogue = load_catalogue(declared={"it": table}, modules=[], environment=lab.environment)
        async with catalogue.opened():
            yield catalogue, peer
        nursery.cancel_scope.cancel()


async def failure(lab: Lab, context: Context, behave: Behaviour, **table: Any) -> HandlerFailedError:
    async with calling(lab, behave, **table) as (catalogue, _):
        with trio.fail_after(10):
            try:
                await catalogue["it"].run(context, task())
            except HandlerFailedError as error:
                return error
    raise AssertionError("it did not fail")


async def test_2xx_succeeds_and_its_answer_is_kept(lab: Lab, context: Context) -> None:
    headers = {"Authorization": "Bearer ${SECRET}"}
    async with calling(lab, answer(OK), headers=headers) as (catalogue, peer):
        assert await catalogue["it"].run(context, task(text="hello", n=5)) == {"status": 200}
    [request] = peer.requests
    head, _, body = request.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /hook HTTP/1.1\r\n")
    assert b"authorization: bearer s3cr3t-t0k3n" in head.lower()
    assert json.loads(body) == {"text": "hello", "n": 5}
    snapshot = context.output.snapshot()
    assert (snapshot.body, snapshot.status) == ("fine", 200)


async def test_what_fills_a_slot_can_reach_no_other_place(lab: Lab, context: Context) -> None:
    url = "http://127.0.0.1:{port}/teams/{team}/messages?channel={channel}&fixed=1"
    async with calling(lab, answer(OK), url=url, method="GET") as (catalogue, peer):
        values = {"team": "a..b?x=1#y%", "channel": "../c&admin=1 ü"}
        assert catalogue.check(task(**values)) is None
        await catalogue["it"].run(context, task(**values))
    assert peer.requests[0].startswith(
        b"GET /teams/a..b%3Fx%3D1%23y%25/messages?channel=..%2Fc%26admin%3D1%20%C3%BC&fixed=1 HTTP/1.1\r\n"
    )


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({}, "params.team"),
        ({"team": ".."}, "params.team"),
        ({"team": ""}, "params.team"),
        ({"team": {}}, "params.team"),
    ],
)
def test_a_slot_of_a_path_must_be_a_segment(lab: Lab, params: dict[str, Any], field: str) -> None:
    complaint = lab.make(url="http://127.0.0.1/teams/{team}").check(task(**params))
    assert complaint is not None
    assert complaint[0] == field


OTHER_PLACES = (
    *("x/../../admin", "../admin", "/admin", "a/b", "/", "//", "..", ".", "", " ", " .. ", "..;", "..;x=1", ".;", ";x"),
    *("\\", "..\\admin", "a\\b", "%2e%2e", "%2E%2e", ".%2e", "%2e", "%2F", "a%2fb", "%5C", "..%2fadmin", "%2e%2e;"),
    *(
        "%252e%252e",
        "%252F",
        "%25252e%25252e",
        "%2525252525252e",
        "%255c",
        "%00",
        "..%00",
        "%20..",
        "..%3b",
        "%" + "25" * 30_000,
    ),
)


@pytest.mark.parametrize("value", OTHER_PLACES, ids=lambda value: value[:20])
async def test_what_fills_a_slot_of_a_path_can_climb_to_no_other_place(lab: Lab, context: Context, value: str) -> None:
    async with calling(lab, answer(OK), url="http://127.0.0.1:{port}/x/{team}/y?team={channel}") as (catalogue, peer):
        complaint = catalogue.check(task(team=value, channel="c"))
        assert complaint is not None
        assert complaint[0] == "params.team"
        assert "`params.team`" in complaint[1]
        assert catalogue.check(task(team="t", channel=value)) is None, "a value of a query is data"
        with pytest.raises(HandlerFailedError) as failed:
            await catalogue["it"].run(context, task(team=value, channel="c"))  # as if an earlier start had used it
        assert not failed.value.retryable
        assert peer.requests == []


@pytest.mark.parametrize(
    "value", ["a.b", "...", "a..", "..a", "a;b", "50%", "%41", "a b", "ä", "a?b", "a#b", "~", "-", 5, True]
)
def test_plain_values_fill_a_slot_of_a_path(lab: Lab, value: object) -> None:
    assert lab.make(url="http://127.0.0.1/teams/{team}").check(task(team=value)) is None


def test_without_a_body_other_params_are_refused(lab: Lab) -> None:
    complaint = lab.make(url="http://127.0.0.1/", method="GET").check(task(x=1))
    assert complaint is not None
    assert complaint[0] == "params.x"


@pytest.mark.parametrize("code", [500, 502, 503, 429])
async def test_an_overloaded_server_is_worth_another_try(lab: Lab, context: Context, code: int) -> None:
    error = await failure(lab, context, status(code))
    assert (str(error), error.retryable, error.retry_after_seconds) == (f"status {code}", True, None)


@pytest.mark.parametrize("code", [400, 401, 404, 410, 422])
async def test_a_refusal_is_final(lab: Lab, context: Context, code: int) -> None:
    error = await failure(lab, context, status(code, "Retry-After: 5"))
    assert (str(error), error.retryable, error.retry_after_seconds) == (f"status {code}", False, None)


async def test_retry_after_is_honoured_in_both_forms(lab: Lab, context: Context) -> None:
    error = await failure(lab, context, status(429, "Retry-After: 17"))
    assert error.retry_after_seconds == 17
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    error = await failure(lab, context, status(503, f"Retry-After: {date}"))
    assert error.retry_after_seconds == pytest.approx(60, abs=5)
    error = await failure(lab, context, status(503, "Retry-After: soon"))
    assert error.retry_after_seconds is None
    error = await failure(lab, context, status(503, "Retry-After: 99999999"))
    assert error.retry_after_seconds == 24 * 60 * 60


async def test_a_redirect_is_not_followed(lab: Lab, context: Context) -> None:
    error = await failure(lab, context, status(302, "Location: http://127.0.0.1:1/elsewhere"))
    assert not error.retryable
    assert "a redirect to http://127.0.0.1:1/elsewhere" in str(error)


async def test_an_answer_of_100_mib_is_cut_off(lab: Lab, context: Context) -> None:
    sent = 0

    async def flood(stream: trio.SocketStream, _: bytes) -> None:
        nonlocal sent
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n")
        for _megabyte in range(100):
            await stream.send_all(b"x" * 1024 * 1024)
            sent += 1

    error = await failure(lab, context, flood)
    assert str(error) == "the response is longer than 1048576 bytes"
    assert not error.retryable
    assert sent < 50
    assert len(context.output.snapshot().body) == 65_536


async def test_a_server_that_stalls_is_given_up(lab: Lab, context: Context) -> None:
    async def stall(stream: trio.SocketStream, _: bytes) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await trio.sleep_forever()

    error = await failure(lab, context, stall, read_timeout=0.2)
    assert error.retryable
    assert "timed out after 0.2 s" in str(error)


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", b"what?\r\n\r\n"])
async def test_a_server_that_drops_the_connection_is_worth_another_try(lab: Lab, context: Context, data: bytes) -> None:
    async def drop(stream: trio.SocketStream, _: bytes) -> None:
        await stream.send_all(data)
        await stream.aclose()

    error = await failure(lab, context, drop)
    assert error.retryable
    assert "closed the connection early" in str(error)


async def test_nobody_who_listens_is_worth_another_try(lab: Lab, context: Context) -> None:
    error = await failure(lab, context, answer(OK), url="http://127.0.0.1:1/")
    assert error.retryable
    assert str(error) == "cannot connect to http://127.0.0.1:1"


async def test_a_cancel_ends_a_call_at_once(lab: Lab, context: Context) -> None:
    async def stall(stream: trio.SocketStream, _: bytes) -> None:
        await trio.sleep_forever()

    async with calling(lab, stall) as (catalogue, _):
        with trio.move_on_after(0.2) as scope:
            await catalogue["it"].run(context, task())
    assert scope.cancelled_caught


async def test_secrets_are_in_no_error_and_no_output(lab: Lab, context: Context) -> None:
    headers = {"X-Key": "${SECRET}"}
    for behave in (status(500), answer(b"nonsense\r\n\r\n"), status(302, "Location: /x")):
        error = await failure(lab, context, behave, headers=headers)
        assert "s3cr3t" not in str(error) + repr(error) + repr(context.output.snapshot())
    made = lab.make(url="http://127.0.0.1/", headers=headers)
    assert "s3cr3t" not in repr(made) + made.description + str(made.params_schema)
