"""Bodies that are compressed, begin with a byte order mark, or are not UTF-8."""

from __future__ import annotations

import codecs
import gzip

import pytest

from ..conftest import Served
from ..raw import CHUNKED, JSON, LAST_CHUNK, NDJSON, RawReply, chunk, connected, request
from ..replies import problem_in
from ..tokens import TOKENS

TASK = '{"name": "ä", "delay": 60000}'
KINDS = {"one": (JSON, TASK), "list": (JSON, f"[{TASK}]"), "stream": (NDJSON, f"{TASK}\n")}


async def ask(served: Served, data: bytes) -> RawReply:
    async with connected(served.port) as client:
        return await client.ask(data)


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "br", "deflate", "zstd", "GZIP", "identity, gzip"])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_compressed_body_is_refused(served: Served, kind: str, coding: str) -> None:
    media, text = KINDS[kind]
    for body in (gzip.compress(text.encode()), text.encode()):
        reply = await ask(served, request("POST /tasks", media, f"Content-Encoding: {coding}", body=body))
        assert coding in problem_in(reply, 415)["detail"]
        assert reply.headers["accept-encoding"] == "identity"
    assert await served.listing() == []


@pytest.mark.parametrize("line", ["PATCH /tasks/000000-1", "POST /session"])
async def test_every_body_may_not_be_compressed(served: Served, line: str) -> None:
    body = gzip.compress(f'{{"token": "{TOKENS["read"]}"}}'.encode())
    reply = await ask(served, request(line, JSON, "Content-Encoding: gzip", body=body))

    problem_in(reply, 415)
    assert reply.headers["accept-encoding"] == "identity"


async def test_another_media_type_is_not_a_matter_of_coding(served: Served) -> None:
    reply = await ask(served, request("POST /tasks", "Content-Type: text/plain", body=b"[]"))

    problem_in(reply, 415)
    assert "accept-encoding" not in reply.headers


@pytest.mark.parametrize("coding", ["identity", "Identity", ""])
@pytest.mark.parametrize("kind", KINDS)
async def test_no_coding_may_be_said(served: Served, kind: str, coding: str) -> None:
    media, text = KINDS[kind]
    reply = await ask(served, request("POST /tasks", media, f"Content-Encoding: {coding}", body=text.encode()))
    assert reply.status_code in (200, 202)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_byte_order_mark_is_ignored(served: Served, kind: str) -> None:
    media, text = KINDS[kind]
    body = codecs.BOM_UTF8 + text.encode()

    assert (await ask(served, request("POST /tasks", media, body=body))).status_code in (200, 202)
    assert await served.names() == ["ä"]


async def test_a_byte_order_mark_may_come_in_parts_and_before_each_line(served: Served) -> None:
    lines = [codecs.BOM_UTF8 + b'{"name": "%d", "delay": 60000}\n' % number for number in range(3)]
    parts = b"".join(chunk(bytes([byte])) for byte in b"".join(lines) + codecs.BOM_UTF8)
    reply = await ask(served, request("POST /tasks", NDJSON, CHUNKED) + parts + LAST_CHUNK)

    assert reply.json()["SubmittedTasks"] == 3


@pytest.mark.parametrize("coding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("kind", KINDS)
async def test_wide_text_is_refused_by_its_name(served: Served, kind: str, coding: str) -> None:
    media, text = KINDS[kind]
    reply = await ask(served, request("POST /tasks", media, body=text.encode(coding)))

    assert "UTF-8" in problem_in(reply, 400)["detail"]
    assert await served.listing() == []


async def test_lines_before_wide_text_are_taken(served: Served) -> None:
    body = b'{"name": "a", "delay": 60000}\n' + '{"name": "b"}'.encode("utf-16")
    reply = await ask(served, request("POST /tasks", NDJSON, body=body))

    assert problem_in(reply, 400)["SubmittedTasks"] == 1
