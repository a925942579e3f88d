"""Tests of the limits of HTTP handlers: secrets, cookies, redirects to other hosts, and large replies."""

from __future__ import annotations

import pytest
import trio

from pexecutor import ConfigError, Context, load_catalogue

from ..conftest import Lab, task
from .test_http import OK, answer, calling, failure

SECRET = {"Authorization": "Bearer ${SECRET}"}


def body_of(content: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status, len(content), content)


async def test_a_secret_that_is_said_back_is_blotted_out(lab: Lab, context: Context) -> None:
    async def echo(stream: trio.SocketStream, received: bytes) -> None:
        await stream.send_all(body_of(received))

    async with calling(lab, echo, headers=SECRET) as (catalogue, _):
        await catalogue["it"].run(context, task())
    body = context.output.snapshot().body
    assert "Bearer ***" in body
    assert "s3cr3t" not in body


async def test_a_secret_in_a_redirect_is_blotted_out(lab: Lab, context: Context) -> None:
    moved = b"HTTP/1.1 302 Moved\r\nLocation: /?token=s3cr3t-t0k3n\r\nContent-Length: 0\r\n\r\n"
    error = await failure(lab, context, answer(moved), headers=SECRET)
    assert str(error) == "status 302, a redirect to /?token=***, which is not followed"


async def test_cookies_of_one_call_are_not_sent_with_the_next(lab: Lab) -> None:
    bakes = b"HTTP/1.1 200 OK\r\nSet-Cookie: who=me\r\nContent-Length: 0\r\n\r\n"
    async with calling(lab, answer(bakes)) as (catalogue, peer):
        for _ in range(2):
            await catalogue["it"].run(Context("000001-1", "a"), task())
    assert len(peer.requests) == 2
    assert b"cookie" not in peer.requests[1].lower()


async def test_the_operator_may_say_what_the_content_is(lab: Lab, context: Context) -> None:
    headers = {"Content-Type": "application/vnd.api+json", "accept-encoding": "br"}
    async with calling(lab, answer(OK), headers=headers) as (catalogue, peer):
        await catalogue["it"].run(context, task())
    head = peer.requests[0].lower()
    assert head.count(b"content-type:") == head.count(b"accept-encoding:") == 1
    assert b"content-type: application/vnd.api+json" in head


async def test_a_long_answer_is_kept_to_its_end_when_it_fails_anyway(lab: Lab, context: Context) -> None:
    error = await failure(
        lab, context, answer(body_of(b"x" * 5000 + b"!", b"503 Busy")), response_bytes_max=1000, headers=SECRET
    )
    assert (str(error), error.retryable) == ("status 503", True)


async def test_an_answer_of_exactly_the_limit_is_taken(lab: Lab, context: Context) -> None:
    async with calling(lab, answer(body_of(b"x" * 1000)), response_bytes_max=1000) as (catalogue, _):
        assert await catalogue["it"].run(context, task()) == {"status": 200}


async def test_headers_that_drip_are_ended_by_the_tasks_own_timeout(lab: Lab, context: Context) -> None:
    async def drip(stream: trio.SocketStream, _: bytes) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\n")
        while True:
            await stream.send_all(b"X-Drip: 1\r\n")
            await trio.sleep(0.05)

    async with calling(lab, drip, read_timeout=1) as (catalogue, _):
        with trio.move_on_after(0.4) as timeout:
            await catalogue["it"].run(context, task())
    assert timeout.cancelled_caught


async def test_an_answer_is_kept_as_it_was_sent_whatever_its_coding(lab: Lab, context: Context) -> None:
    """A few KiB can decompress to a GiB, so the handler does not decompress the reply."""
    packed = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00"
    async with calling(lab, answer(packed)) as (catalogue, peer):
        assert await catalogue["it"].run(context, task()) == {"status": 200}
    assert context.output.body.seen == 4
    assert b"accept-encoding: identity\r\n" in peer.requests[0].lower()


async def test_all_calls_share_one_client() -> None:
    urls = {name: {"url": f"http://127.0.0.1/{name}"} for name in ("a", "b")}
    catalogue = load_catalogue(declared=urls, modules=[], environment={})
    assert len(catalogue.resources) == 1
    async with catalogue.opened():
        pass


@pytest.mark.parametrize(
    ("header", "value", "complaint"),
    [
        ("Bad Name", "x", "cannot be set: the name is invalid"),
        ("", "x", "cannot be set: the name is invalid"),
        ("Content-Length", "5", "cannot be set: the name is invalid"),
        ("transfer-encoding", "chunked", "cannot be set: the name is invalid"),
        ("X", "${SEC RET}", "write an environment variable as ${NAME}"),
        ("X", "${NONE}", "needs the environment variable NONE, which is not set"),
        ("X", "${MULTILINE}", "contains invalid characters: a header must be printable ASCII"),
    ],
)
def test_a_header_that_cannot_be_sent_is_named_without_its_value(header: str, value: str, complaint: str) -> None:
    declared = {"it": {"url": "http://127.0.0.1/", "headers": {header: value}}}
    with pytest.raises(ConfigError) as error:
        load_catalogue(declared=declared, modules=[], environment={"MULTILINE": "hidden\nhidden"})
    assert f"handlers.it.headers.{header}" in str(error.value)
    assert complaint in str(error.value)
    assert "hidden" not in str(error.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://user:password@127.0.0.1/",
        "http://127.0.0.1:{port}/",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:0/",
        "http:///path",
        "http://127.0.0.1/#part",
        "http://127.0.0.1/?{name}=1",
        "http://127.0.0.1/?a={name}b",
        "http://127.0.0.1/{a}{b}",
        "http://127.0.0.1/\nx",
        "http://[::1/",
    ],
)
def test_a_url_that_cannot_be_used_is_named(lab: Lab, url: str) -> None:
    with pytest.raises(ConfigError, match=r"^handlers\.it\.url"):
        lab.make(url=url)


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("http://127.0.0.1:{port}", b"/"),
        ("http://127.0.0.1:{port}/a%2Fb/c d/(e)?x=%26&y=a+b&z=", b"/a%2Fb/c%20d/(e)?x=%26&y=a%20b&z="),
        ("http://127.0.0.1:{port}/{{literal}}", b"/%7Bliteral%7D"),
    ],
)
async def test_a_fixed_url_means_what_the_operator_wrote(lab: Lab, context: Context, url: str, sent: bytes) -> None:
    async with calling(lab, answer(OK), url=url, method="GET") as (catalogue, peer):
        await catalogue["it"].run(context, task())
    assert peer.requests[0].startswith(b"GET %b HTTP/1.1\r\n" % sent)
