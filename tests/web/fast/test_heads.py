"""A known head is not examined again, and its request gets the same reply as with an examination.

The head of a submit is identical for all bodies of one length, so all bodies here have the same length.
"""

from __future__ import annotations

from typing import Any

import pytest
import trio

from pexecutor import Executor, LocalStore
from pexecutor.access import ANONYMOUS
from pexecutor.config import Config, HttpKind
from pexecutor.errors import ConfigError
from pexecutor.web import create_web
from pexecutor.web.access.gate import access_rules
from pexecutor.web.access.proxies import BasePath, Front
from pexecutor.web.fast import Submits
from pexecutor.web.fast.heads import HEAD_BYTES_REMEMBERED_MAX, HEADS_REMEMBERED_MAX, KnownHeads
from pexecutor.web.fast.parser import Parser
from pexecutor.web.fast.request import Ends, Request

from ...fakes import Gate
from ..conftest import Served, ServeHere
from ..raw import JSON, RawReply, connected, request
from ..tokens import TABLES, TOKENS

BODY_BYTES = 100
TRACE = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ENDS = Ends("http", ("127.0.0.1", 40_000), ("127.0.0.1", 8080))
SUBMIT = f"Authorization: Bearer {TOKENS['submit']}"

BODIES = [
    b'{"name": "one"}',
    b'{"name": "one"}',
    b'{"name":"compact","duration":0}',
    b'{"name": "later", "delay": 60000}',
    b'{"name": "one", "on_conflict": "join"}',
    b'{"name": "one", "on_conflict": "latest", "priority": 7}',
    b'{"name": "\xc3\xa4 \\u00e4 \\"", "priority": -3, "retries": 2}',
    b' \n {"name": "white space"}',
    b'{"name": "traced", "traceparent": "%b"}' % TRACE.partition(" ")[2].encode(),
    # Invalid ones
    b'{"name": "x", "name": "y"}',
    b'{"name": "x", "wat": 1}',
    b'{"name": "x", "params": {"bad": 1}}',
    b'{"name": "x", "handler": "none"}',
    b'{"name": "x"',
    b'{"name": "\xff"}',
    b'[{"name": "in a list"}]',
    b"null",
    b"",
    b'{"name": "last"}',
]


@pytest.fixture
def server() -> HttpKind:
    """Only the fast listener remembers heads."""
    return "fast"


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """The requests whose heads were examined."""
    seen: list[Request] = []
    tasks_of = Submits.tasks_of

    def note(self: Submits, asked: Request) -> Any:
        seen.append(asked)
        return tasks_of(self, asked)

    monkeypatch.setattr(Submits, "tasks_of", note)
    return seen


@pytest.fixture
async def taking(serve_here: ServeHere) -> Served:
    """A server whose tasks stay in flight."""
    return await serve_here(handler=Gate())


def submit(body: bytes, *headers: str, host: str = "localhost") -> bytes:
    return request("POST /tasks", JSON, *headers, body=body.ljust(BODY_BYTES), host=host)


def named(name: str, *headers: str, host: str = "localhost") -> bytes:
    return submit(b'{"name": "%b"}' % name.encode(), *headers, host=host)


async def replies(served: Served, asked: list[bytes]) -> list[RawReply]:
    async with connected(served.port) as client:
        return [await client.ask(data) for data in asked]


def shown(reply: RawReply) -> tuple[int, dict[str, str], bytes]:
    """Return the parts of a reply that do not differ between identical requests."""
    others = {name: value for name, value in reply.headers.items() if name not in ("date", "x-request-id")}
    return reply.status_code, others, reply.content


async def test_it_is_answered_as_if_it_were(
    serve_here: ServeHere, looked_at: list[Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask_all() -> list[RawReply]:
        store = LocalStore(tag=7, now=lambda: 1_000_000_000.5)
        served = await serve_here(store=store, handler=Gate(), tokens=TABLES)
        return await replies(served, [submit(body, SUBMIT) for body in BODIES])

    with_memory = await ask_all()
    seen = len(looked_at)
    monkeypatch.setattr(KnownHeads, "find", lambda *_: None)
    without = await ask_all()

    assert len(looked_at) - seen > seen > 1, "some is looked at: the first, and what is wrong"
    assert [shown(reply) for reply in with_memory] == [shown(reply) for reply in without]
    assert {reply.status_code for reply in without} == {200, 202, 400, 409}
    assert len({reply.headers["x-request-id"] for reply in with_memory}) == len(BODIES)


async def test_the_log_tells_the_same_of_it(serve_here: ServeHere, capsys: pytest.CaptureFixture[str]) -> None:
    served = await serve_here(handler=Gate(), tokens=TABLES)
    ids = [reply.headers["x-request-id"] for reply in await replies(served, [named(name, SUBMIT) for name in "ab"])]

    first, second = [line for line in capsys.readouterr().out.splitlines() if "submitted" in line]
    first, second = first[len("2000-01-01 00:00:00") :], second[len("2000-01-01 00:00:00") :]
    assert "by=submit-only" in second
    assert first.replace(ids[0], ids[1]).replace("name=a", "name=b") == second


async def test_only_bytes_that_stand_alone_are_not_parsed(taking: Served, looked_at: list[Request]) -> None:
    whole = len(named("learned"))
    async with connected(taking.port) as client:
        for name in ("learned", "known"):
            assert (await client.ask(named(name))).status_code == 202
        assert len(looked_at) == 1

        for cut in (1, 4, 30, whole - BODY_BYTES - 1, whole - BODY_BYTES, whole - 1):
            data = named(f"cut-{cut:03}")
            await client.send(data[:cut])
            await trio.sleep(0.02)
            assert (await client.ask(data[cut:])).json()["name"] == f"cut-{cut:03}"

        await client.send(named("ahead") + named("behind"))
        assert [(await client.reply()).json()["name"] for _ in range(2)] == ["ahead", "behind"]

        await client.send(named("begun") + named("ended")[:50])
        assert (await client.reply()).json()["name"] == "begun"
        assert (await client.ask(named("ended")[50:])).json()["name"] == "ended"

        assert (await client.ask(b"\r\n\r\n" + named("lines"))).json()["name"] == "lines"
        assert (await client.ask(named("last"))).json()["name"] == "last"


async def test_a_known_head_inside_of_a_body_is_a_body(taking: Served) -> None:
    async with connected(taking.port) as client:
        assert (await client.ask(named("learned"))).status_code == 202
        inner = named("smuggled")
        await client.send(request("POST /tasks", JSON, body=b"x" * (len(inner) + 1))[: -len(inner)])
        await trio.sleep(0.02)
        assert (await client.ask(inner)).status_code == 400
    assert await taking.names("/tasks") == ["learned"]


async def test_what_is_refused_is_not_remembered(taking: Served, looked_at: list[Request]) -> None:
    refused = [named("x", host="evil.example"), named("x", "Origin: http://evil.example")]
    statuses = [reply.status_code for reply in await replies(taking, refused * 3)]

    assert statuses == [421, 403] * 3
    assert len(looked_at) == len(statuses)


async def test_each_id_and_each_trace_is_its_requests_own(taking: Served) -> None:
    sent = "X-Request-Id: the-same"
    ids = [reply.headers["x-request-id"] for reply in await replies(taking, [named(name, sent) for name in "abc"])]
    traces = [reply.json()["traceparent"] for reply in await replies(taking, [named(name, TRACE) for name in "def"])]

    assert ids == ["the-same"] * 3
    assert traces == [TRACE.partition(" ")[2]] * 3


async def test_a_session_that_has_ended_lets_nobody_in(serve_here: ServeHere) -> None:
    served = await serve_here(handler=Gate(), tokens=TABLES)
    page = "Sec-Fetch-Site: same-origin"
    async with connected(served.port) as client:
        signed_in = await client.ask(
            request("POST /session", JSON, page, body=b'{"token": "%b"}' % TOKENS["submit"].encode())
        )
        cookie = f"Cookie: {signed_in.headers['set-cookie'].partition(';')[0]}"
        taken = [(await client.ask(named(name, cookie, page))).status_code for name in "ab"]
        await client.ask(request("DELETE /session", cookie, page))

        assert taken == [202, 202]
        assert (await client.ask(named("c", cookie, page))).status_code == 401


async def test_a_change_of_the_gates_settings_ends_every_admission() -> None:
    """Neither a token that was removed nor a host that was removed is admitted because of an earlier request."""
    before = Config(tokens=TABLES, allowed_hosts=("name.example",))
    web = create_web(Executor(LocalStore()), before)
    data = [named("a", SUBMIT), named("a", SUBMIT, host="name.example")]

    def statuses() -> list[int]:
        submits = [web.submits.known_submit(one, ENDS) or web.submits.submit_of(parsed(one), one) for one in data]
        return [202 if submit.error is None else submit.error.status for submit in submits if submit is not None]

    for one in data:
        assert statuses() == [202, 202]
        assert web.submits.known_submit(one, ENDS) is not None
    web.gate.apply(access_rules(Config(tokens=TABLES)))
    assert statuses() == [202, 421]
    web.gate.apply(access_rules(Config(tokens={"read-only": TABLES["read-only"]})))
    assert statuses() == [401, 421]
    web.gate.apply(access_rules(before))
    assert statuses() == [202, 202]


def test_settings_that_contradict_each_other_change_nothing() -> None:
    gate = create_web(Executor(LocalStore()), Config(tokens=TABLES)).gate

    with pytest.raises(ConfigError, match="contradict"):
        access_rules(Config(tokens=TABLES, allow_anonymous=True))
    assert (gate.has_tokens, gate.generation) == (True, 1)


def parsed(data: bytes, ends: Ends = ENDS) -> Request:
    parser = Parser(ends, trio.sleep_forever)
    parser.feed(data)
    [asked] = parser.requests
    asked.identity = ANONYMOUS
    return asked


def test_a_head_is_known_at_the_end_that_it_came_to() -> None:
    heads = KnownHeads()
    heads.remember(named("a"), parsed(named("a")), 1, "/tasks")

    assert heads.find(named("b"), ENDS, 1) is not None
    assert heads.find(named("b"), ENDS._replace(server=("192.0.2.1", 8080)), 1) is None
    assert heads.find(named("b"), ENDS._replace(front=Front(BasePath("", ()), None)), 1) is None
    assert heads.find(named("b"), ENDS, 2) is None


def test_there_is_a_bound_on_what_is_remembered() -> None:
    heads = KnownHeads()
    many = [named("a", f"X: {number}") for number in range(HEADS_REMEMBERED_MAX + 1)]
    for data in [*many, named("a", f"X: {'x' * HEAD_BYTES_REMEMBERED_MAX}")]:
        heads.remember(data, parsed(data), 1, "/tasks")

    assert [data for data in many if heads.find(data, ENDS, 1) is None] == [many[0]]
    assert heads.find(data, ENDS, 1) is None
