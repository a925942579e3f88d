"""Requests that two servers in a row could parse in two ways: each is refused, and the server ignores what follows.

A smuggled request follows each of them. The server must never accept it, whatever it is parsed as. A request that is
only unusual is followed by another one too, and each of the two gets its own reply.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import trio

from pexecutor.config import HttpKind
from pexecutor.web.fast.parser import Parser
from pexecutor.web.fast.request import Ends, Headers, Request

from ...fakes import Gate
from ..conftest import Served, ServeHere
from ..raw import CHUNKED, JSON, LAST_CHUNK, chunk, connected, request
from ..replies import problem_in

TASK = b'{"name": "carrier"}'
SMUGGLED = request("POST /tasks", JSON, body=b'{"name": "smuggled"}')
LENGTH = f"Content-Length: {len(TASK)}"
TOO_LONG = "x" * 100_000


@pytest.fixture
def server() -> HttpKind:
    """Only the fast listener is tested; Hypercorn decides what it refuses."""
    return "fast"


@pytest.fixture
async def served(serve_here: ServeHere, gate: Gate) -> AsyncIterator[Served]:
    """A server whose tasks stay in flight, and that must have accepted none at the end."""
    served = await serve_here(handler=gate)
    yield served
    assert await served.listing() == []


def post(*headers: str, body: bytes = TASK) -> bytes:
    """Return a submit with these headers and no other length."""
    return request("POST /tasks", JSON, *headers) + body


def chunked(size_line: bytes, end: bytes = b"\r\n0\r\n\r\n") -> bytes:
    """Return a submit in one chunk, with the given size line and the given bytes after the data."""
    return post(CHUNKED, body=size_line + TASK + end)


def head(*lines: str, end: str = "\r\n") -> bytes:
    """Return a submit with a body, with the given line endings."""
    return end.join(["POST /tasks HTTP/1.1", JSON, LENGTH, *lines, "", ""]).encode("latin1") + TASK


SIZE = b"%x" % len(TASK)

REFUSED = {
    "both lengths": (post(LENGTH, CHUNKED, body=chunk(TASK) + LAST_CHUNK), 400),
    "both lengths, the other way round": (post(CHUNKED, LENGTH, body=chunk(TASK) + LAST_CHUNK), 400),
    "no length and a coding": (post("Content-Length: 0", CHUNKED, body=chunk(TASK) + LAST_CHUNK), 400),
    "two lengths": (post(LENGTH, "Content-Length: 1"), 400),
    "one length twice": (post(LENGTH, LENGTH), 400),
    "a list of lengths": (post(f"{LENGTH}, {len(TASK)}"), 400),
    "a negative length": (post("Content-Length: -1"), 400),
    "a positive length": (post(f"Content-Length: +{len(TASK)}"), 400),
    "a length in hex": (post(f"Content-Length: 0x{len(TASK):x}"), 400),
    "a length with a space in it": (post("Content-Length: 1 9"), 400),
    "a length with an underscore": (post("Content-Length: 1_9"), 400),
    "an empty length": (post("Content-Length: "), 400),
    "a length beyond 64 bits": (post(f"Content-Length: {2**64 + len(TASK)}"), 400),
    "another coding": (post("Transfer-Encoding: gzip, chunked", body=chunk(TASK) + LAST_CHUNK), 501),
    "another coding alone": (post("Transfer-Encoding: gzip", body=chunk(TASK) + LAST_CHUNK), 501),
    "an empty coding": (post("Transfer-Encoding: ", body=chunk(TASK) + LAST_CHUNK), 400),
    "a coding that is nearly one": (post("Transfer-Encoding: xchunked", body=chunk(TASK) + LAST_CHUNK), 501),
    "the coding twice": (post(CHUNKED, CHUNKED, body=chunk(TASK) + LAST_CHUNK), 400),
    "the coding behind a tab": (post("Transfer-Encoding: \x0bchunked", body=chunk(TASK) + LAST_CHUNK), 400),
    "the coding not last": (post("Transfer-Encoding: chunked, identity", body=chunk(TASK) + LAST_CHUNK), 400),
    "a coding in HTTP/1.0": (post(CHUNKED, body=chunk(TASK) + LAST_CHUNK).replace(b"HTTP/1.1", b"HTTP/1.0"), 400),
    "a negative chunk": (chunked(b"-" + SIZE + b"\r\n"), 400),
    "a positive chunk": (chunked(b"+" + SIZE + b"\r\n"), 400),
    "a chunk's size in C": (chunked(b"0x" + SIZE + b"\r\n"), 400),
    "a space before a chunk's size": (chunked(b" " + SIZE + b"\r\n"), 400),
    "a space behind a chunk's size": (chunked(SIZE + b" \r\n"), 400),
    "no size of a chunk": (chunked(b"\r\n"), 400),
    "a chunk beyond 64 bits": (chunked(b"f" * 17 + b"\r\n"), 400),
    "a chunk's size behind a bare LF": (chunked(SIZE + b"\n"), 400),
    "a chunk's size behind a bare CR": (chunked(SIZE + b"\r"), 400),
    "a bare LF in a chunk's extension": (chunked(SIZE + b";a\n=b\r\n"), 400),
    "a long extension of a chunk": (chunked(SIZE + b";a=" + TOO_LONG.encode() + b"\r\n"), 400),
    "data longer than the chunk": (chunked(SIZE + b"\r\n", b"x\r\n0\r\n\r\n"), 400),
    "no CRLF behind a chunk": (chunked(SIZE + b"\r\n", b"0\r\n\r\n"), 400),
    "a bare LF behind a chunk": (chunked(SIZE + b"\r\n", b"\n0\r\n\r\n"), 400),
    "a bare LF at the end": (chunked(SIZE + b"\r\n", b"\r\n0\r\n\n"), 400),
    "a long trailer": (chunked(SIZE + b"\r\n", f"\r\n0\r\nX: {TOO_LONG}\r\n\r\n".encode()), 400),
    "a folded trailer": (chunked(SIZE + b"\r\n", b"\r\n0\r\nX: a\r\n b\r\n\r\n"), 400),
    "a length behind the chunks": (chunked(SIZE + b"\r\n", b"\r\n0\r\nContent-Length: 1\r\n\r\n"), 400),
    "a folded header": (head("Host: localhost", "X: a", " b"), 400),
    "a header folded with a tab": (head("Host: localhost", "X: a", "\tb"), 400),
    "a folded host": (head("Host:", " localhost"), 400),
    "a space before the first header": (head("Host: localhost").replace(b"\r\nC", b"\r\n C", 1), 400),
    "bare LFs": (head("Host: localhost", end="\n"), 400),
    "a bare LF": (head("Host: localhost\nX: y"), 400),
    "a bare CR": (head("Host: localhost\rX: y"), 400),
    "a NUL in a value": (head("Host: localhost", "X: a\0b"), 400),
    "a NUL in a name": (head("Host: localhost", "X\0: a"), 400),
    "a NUL in the target": (head("Host: localhost").replace(b"/tasks", b"/ta\0sks"), 400),
    "another control character": (head("Host: localhost", "X: a\x01b"), 400),
    "a space before a colon": (head("Host: localhost", "X : y"), 400),
    "a tab before a colon": (head("Host: localhost", "X\t: y"), 400),
    "a header without a name": (head("Host: localhost", ": y"), 400),
    "a header without a colon": (head("Host: localhost", "X"), 400),
    "no host": (head(), 400),
    "two hosts": (head("Host: localhost", "Host: localhost"), 400),
    "a space in the target": (head("Host: localhost").replace(b"/tasks", b"/ta sks"), 400),
    "a space behind the version": (head("Host: localhost").replace(b"1.1", b"1.1 "), 400),
    "an authority as the target": (head("Host: localhost").replace(b"/tasks", b"localhost:80"), 400),
    "a target in absolute form of another kind": (head("Host: localhost").replace(b"/tasks", b"://localhost"), 400),
    "HTTP/0.9": (b"GET /tasks\r\n\r\n", 400),
    "HTTP/1.2": (head("Host: localhost").replace(b"1.1", b"1.2"), 400),
    "HTTP/2.0": (head("Host: localhost").replace(b"1.1", b"2.0"), 400),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "a long target": (head("Host: localhost").replace(b"/tasks", f"/tasks?{TOO_LONG}".encode()), 431),
    "a long value": (head("Host: localhost", f"X: {TOO_LONG}"), 431),
    "a long name": (head("Host: localhost", f"X{TOO_LONG}: y"), 431),
    "many headers": (head("Host: localhost", *[f"X-{number}: y" for number in range(5000)]), 431),
    "more than what is taken, at once": (head("Host: localhost", f"X: {'x' * 17_000}"), 431),
}


@pytest.mark.parametrize(("data", "status"), REFUSED.values(), ids=REFUSED)
async def test_it_is_refused_and_nothing_behind_it_is_looked_at(served: Served, data: bytes, status: int) -> None:
    async with connected(served.port) as client:
        refusal = await client.ask(data + SMUGGLED)
        assert problem_in(refusal, status)
        assert refusal.headers["connection"] == "close"
        assert await client.ended_within(3)


def at(target: str) -> bytes:
    """Return a submit to this target."""
    return request(f"POST {target}", JSON, body=TASK)


TAKEN = {
    "an extension of a chunk": chunked(SIZE + b';a="b"\r\n'),
    "a chunk's size in capitals, behind zeros": post(
        CHUNKED, body=b"000F\r\n" + b" " * 15 + b"\r\n" + chunk(TASK) + LAST_CHUNK
    ),
    "chunks of one byte": post(CHUNKED, body=b"".join(chunk(bytes([byte])) for byte in TASK) + LAST_CHUNK),
    "a coding in capitals": post("Transfer-Encoding: CHUNKED", body=chunk(TASK) + LAST_CHUNK),
    "trailers that would matter in a head": chunked(
        SIZE + b"\r\n", b"\r\n0\r\nHost: evil.example\r\nExpect: 100-continue\r\n\r\n"
    ),
    "a length behind zeros": post(f"Content-Length: 00{len(TASK)}"),
    "empty lines before it": b"\r\n\r\n" + at("/tasks"),
    "an empty value": post("X:", LENGTH),
    "spaces around a value": post(f"Content-Length:  \t{len(TASK)} \t"),
    "letters beyond ASCII in a value": post("X: \xe4", LENGTH),
    "a target in absolute form": at("http://localhost/tasks"),
}


@pytest.mark.parametrize("data", TAKEN.values(), ids=TAKEN)
async def test_what_is_only_strange_ends_where_it_ends(serve_here: ServeHere, gate: Gate, data: bytes) -> None:
    served = await serve_here(handler=gate)
    async with connected(served.port) as client:
        await client.send(data + SMUGGLED)
        assert [(await client.reply()).status_code for _ in range(2)] == [202, 202]
    assert sorted(await served.names("/tasks")) == ["carrier", "smuggled"]


def read(data: bytes, *, bytes_at_once: int) -> tuple[list[tuple[str, bytes, Headers, bytes]], int | None]:
    """Return a parser's result: requests with their bodies, and the status if the parser refuses."""
    parser = Parser(Ends("http", None, None), trio.sleep_forever)
    for begin in range(0, len(data), bytes_at_once):
        parser.feed(data[begin : begin + bytes_at_once])
    requests = [(one.method, one.target, one.headers, body(one)) for one in parser.requests]
    return requests, None if parser.refusal is None else parser.refusal.status


def body(asked: Request) -> bytes:
    """Return the part of the body that has arrived."""
    chunks = []
    with suppress(trio.EndOfChannel, trio.WouldBlock):
        while True:
            chunks.append(asked.chunks.receive_nowait())
    return b"".join(chunks)


STRANGE = {**TAKEN, **{name: data for name, (data, _) in REFUSED.items()}}


@pytest.mark.parametrize("data", STRANGE.values(), ids=STRANGE)
def test_it_is_read_alike_however_its_bytes_come(data: bytes) -> None:
    at_once = read(data + SMUGGLED, bytes_at_once=2**20)

    assert read(data + SMUGGLED, bytes_at_once=1) == at_once
    assert read(data + SMUGGLED, bytes_at_once=7) == at_once
