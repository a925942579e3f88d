"""Prompt routes give the same replies as the app: identical bytes except for the date, also for invalid requests.

Two servers get the same requests in the same order, over raw sockets, with the same clock and the same ids. On one of
them, the app answers all requests.
"""

from __future__ import annotations

import sys
from typing import Any

import pytest

from pexecutor import Executor, LocalStore
from pexecutor.config import Config
from pexecutor.core.rate import FinishRate
from pexecutor.errors import ConfigError
from pexecutor.web import create_web, make_http
from pexecutor.web.fast import PromptRoutes, Submits

from ...fakes import Gate
from ..conftest import Served, ServeHere
from ..raw import CHUNKED, JSON, LAST_CHUNK, NDJSON, RawClient, RawReply, chunk, connected, request
from ..tokens import TABLES, TOKENS

SAME_ID = "X-Request-Id: the-same"
SUBMIT = f"Authorization: Bearer {TOKENS['submit']}"
READ = f"Authorization: Bearer {TOKENS['read']}"
TRACE = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ID = "000007-{}"


def submit(body: bytes, *headers: str, query: str = "", kind: str = JSON, shown: str = SUBMIT) -> bytes:
    return request(f"POST /tasks{query}", kind, shown, SAME_ID, *headers, body=body)


def get(target: str, *headers: str, shown: str = SUBMIT) -> bytes:
    return request(f"GET {target}", shown, SAME_ID, *headers)


def change(target: str, body: bytes, *, shown: str = SUBMIT) -> bytes:
    return request(f"PATCH {target}", JSON, shown, SAME_ID, body=body)


PROMPT = [
    submit(b'{"name": "one"}'),
    submit(b'{"name": "one"}'),
    submit(b'{"name": "traced"}', TRACE),
    submit(b'{"name": "later", "delay": 60000}'),
    submit(b'[{"name": "a"}, {"name": "b"}, {"name": "a"}]'),
    submit(b'[{"name": "c"}, {"name": "a"}]', query="?verdicts=all"),
    submit(b'[{"name": "d"}, {"name": "e"}]', query="?verdicts=none&atomic=true"),
    submit(b"[]"),
    submit(b" \n[]\n", kind="Content-Type: application/json; charset=utf-8"),
    request("POST /tasks", JSON, SUBMIT, SAME_ID, CHUNKED) + chunk(b'{"name"') + chunk(b': "chunked"}') + LAST_CHUNK,
    submit(b"[%b]" % b",".join(b'{"name": "many-%d"}' % number for number in range(30)), query="?atomic=true"),
    submit(b"[%b]" % b",".join(b'{"name": "more-%d"}' % number for number in range(30))),
    submit(b'{"name": "no room"}'),
    get("/tasks/pending"),
    get("/tasks/pending?limit=2"),
    get("/tasks/running"),
    get(f"/tasks/{ID.format(1)}"),
    get(f"/tasks/{ID.format(2)}", shown=READ),
    # Invalid ones
    submit(b""),
    submit(b"{"),
    submit(b"null"),
    submit(b'{"name": ""}'),
    submit(b'{"name": "x", "name": "y"}'),
    submit(b'{"name": "x", "wat": 1}'),
    submit(b'[{"name": "x"}, null, {"name": 1}]'),
    submit(b'{"name": "\xff"}'),
    submit(b'{"name": "x", "handler": "none"}'),
    submit(b"[" * 5000),
    submit(b" " * 2000),
    submit(b'{"name": "x"}' + b" " * 2000),
    request("POST /tasks", JSON, SUBMIT, SAME_ID, CHUNKED) + chunk(b'{"name": "x"}' + b" " * 2000) + LAST_CHUNK,
    submit(b"[%b]" % b",".join([b'{"name": "x"}'] * 60), query="?atomic=true"),
    submit(b'{"name": "x"}', query="?wat=1"),
    submit(b'{"name": "x"}', query="?atomic=maybe"),
    submit(b'{"name": "x"}', query="?atomic=true&atomic=true"),
    submit(b'{"name": "x"}', shown="X: nothing"),
    submit(b'{"name": "x"}', shown=READ),
    submit(b'{"name": "x"}', shown="Authorization: Bearer nobody"),
    submit(b'{"name": "x"}', READ),
    submit(b'{"name": "x"}', "Origin: http://evil.example"),
    submit(b'{"name": "x"}', "Sec-Fetch-Site: cross-site"),
    submit(b'{"name": "x"}', "Cookie: pexecutor_session=none", shown="X: nothing"),
    request("POST /tasks", JSON, SUBMIT, SAME_ID, body=b"{}", host="evil.example"),
    get("/tasks/pending?cursor=x"),
    get("/tasks/pending?limit=0"),
    get("/tasks/running?wat=1"),
    get("/tasks/pending", shown="X: nothing"),
    get("/tasks/000008-1"),
    get(f"/tasks/{ID.format(999999)}"),
    # Other routes
    request("GET /tasks", SUBMIT, SAME_ID, CHUNKED) + chunk(b"x") + LAST_CHUNK,
    get("/tasks?limit=3"),
    get("/tasks?state=pending&name=a"),
    get("/tasks/finished"),
    get("/tasks/x"),
    get("/handlers"),
    get("/handlers?ignored=1"),
    get("/livez", shown="X: nothing"),
    get("/readyz", shown="X: nothing"),
    get("/nodes"),
    get("/docs"),
    get("/docs/style.css"),
    get("/openapi.json"),
    change("/tasks/x", b"{}"),
    change(f"/tasks/{ID.format(2)}", b'{"priority": 5}'),
    change(f"/tasks/{ID.format(2)}", b'{"priority": 500}'),
    change(f"/tasks/{ID.format(2)}?wat=1", b'{"priority": 5}'),
    change(f"/tasks/{ID.format(2)}", b" " * 2000),
    change(f"/tasks/{ID.format(2)}", b'{"priority": 5}', shown=READ),
    request(f"DELETE /tasks/{ID.format(2)}", SUBMIT, SAME_ID),
    request(f"DELETE /tasks/{ID.format(2)}", SUBMIT, SAME_ID, body=b"ignored"),
    request("DELETE /tasks/x", SUBMIT, SAME_ID),
    request("POST /drain", SUBMIT, SAME_ID),
]

ASIDE = [
    submit(b'{"name": "aside"}', query="?wait_for_room=0"),
    submit(b'{"name": "x"}', kind="Content-Type: text/plain"),
    submit(b"no task\n", kind=NDJSON),
    submit(b'{"name": "x"}', query="?verdicts=%61ll"),
    get(f"/tasks/{ID.format(1)}?wait=0.01"),
    get("/tasks/%70ending"),
    get("/tasks/scheduled"),
    get("/tasks/.x"),
    get("/tasks/x.y~"),
    get("/tasks?"),
    get("/tasks?name=a+b"),
    get("/none"),
    request("HEAD /tasks/pending", SUBMIT, SAME_ID),
    request("OPTIONS /drain", SUBMIT, SAME_ID),
    request("DELETE /tasks/pending", SUBMIT, SAME_ID),
    request("PATCH /tasks/x", SUBMIT, SAME_ID, body=b"{}"),
    request("PATCH /tasks/x", JSON, "Content-Encoding: gzip", SUBMIT, SAME_ID, body=b"{}"),
    request("GET /session", SUBMIT, SAME_ID),
    request("GET /ui/static/0/app/main.js", SUBMIT, SAME_ID),
]


def test_without_its_parser_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("server", "rounds", "connection", "exchange", "response", "parser"):
        monkeypatch.delitem(sys.modules, f"pexecutor.web.fast.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "httptools", None)
    web = create_web(Executor(LocalStore()), Config())

    with pytest.raises(ConfigError, match=r"pexecutor\[fast\]"):
        make_http(web, Config(server="fast"))
    make_http(web, Config(server="hypercorn"))


@pytest.fixture(autouse=True)
def steady_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make Retry-After independent of timing; otherwise it depends on the rate of finished tasks."""
    monkeypatch.setattr(FinishRate, "retry_after_seconds", lambda _, places: places)


@pytest.fixture
def answered_promptly(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record how each prompt request was answered: in a round, or by the connection's own Trio task."""
    ways: list[str] = []
    tasks_of, answer = Submits.tasks_of, PromptRoutes.answer

    def note_round(self: Submits, asked: Any) -> Any:
        task = tasks_of(self, asked)
        ways.extend([] if task is None else ["in a round"])
        return task

    async def note(self: PromptRoutes, asked: Any, route: Any) -> Any:
        ways.append("alone")
        return await answer(self, asked, route)

    monkeypatch.setattr(Submits, "tasks_of", note_round)
    monkeypatch.setattr(PromptRoutes, "answer", note)
    return ways


async def serve(serve_here: ServeHere, **settings: Any) -> Served:
    store = LocalStore(queue_size=40, tag=7, now=lambda: 1_000_000_000.5)
    limits = {"queue_size": 40, "body_bytes_max": 1500, "tokens": TABLES}
    return await serve_here(store=store, handler=Gate(), **limits, **settings)


async def replies(served: Served, asked: list[bytes]) -> list[bytes]:
    """Return the bytes of all replies without their dates."""
    async with connected(served.port) as client:
        return [_bytes_of(await _ask(client, data), data) for data in asked]


async def _ask(client: RawClient, data: bytes) -> RawReply:
    await client.send(data)
    return await (client.head() if data.startswith(b"HEAD") else client.reply())


def _bytes_of(reply: RawReply, data: bytes) -> bytes:
    headers = {name: value for name, value in reply.headers.items() if name != "date"}
    return b"%r\n%d\n%r\n%b" % (data, reply.status_code, headers, reply.content)


@pytest.mark.parametrize("server", ["fast"])
async def test_prompt_routes_are_answered_as_by_the_app(
    serve_here: ServeHere, answered_promptly: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    in_rounds = await replies(await serve(serve_here), PROMPT)
    assert len(answered_promptly) == len(PROMPT)
    assert 0 < answered_promptly.count("in a round") < len(PROMPT)

    answered_promptly.clear()
    monkeypatch.setattr(Submits, "tasks_of", lambda *_: None)
    alone = await replies(await serve(serve_here), PROMPT)
    assert answered_promptly == ["alone"] * len(PROMPT)

    answered_promptly.clear()
    monkeypatch.setattr(PromptRoutes, "find", lambda *_: None)
    by_app = await replies(await serve(serve_here), PROMPT)
    assert answered_promptly == []

    assert in_rounds == by_app
    assert alone == by_app


async def test_the_log_tells_the_same_of_it(
    serve_here: ServeHere, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [
        PROMPT[0],
        submit(b'[{"name": "alone in a list"}]'),
        submit(b'[{"name": "first"}, {"name": "second"}, {"name": "first"}]'),
        submit(b'[{"name": "first"}]'),
        submit(b"[]"),
        submit(b'{"name": "x"}', shown="Authorization: Bearer nobody"),
    ]

    async def logged() -> list[str]:
        await replies(await serve(serve_here), asked)
        return [line[len("2000-01-01 00:00:00") :] for line in capsys.readouterr().out.splitlines()]

    in_a_round = await logged()
    monkeypatch.setattr(Submits, "tasks_of", lambda *_: None)
    alone = await logged()
    monkeypatch.setattr(PromptRoutes, "find", lambda *_: None)
    by_app = await logged()

    assert [line.count("request_id=the-same") for line in by_app] == [1, 1, 1, 1]
    assert "name='alone in a list'" in by_app[1]
    assert in_a_round == by_app
    assert alone == by_app


async def test_what_is_not_plain_steps_aside(serve_here: ServeHere, answered_promptly: list[str]) -> None:
    await replies(await serve(serve_here), ASIDE)

    assert answered_promptly == []


@pytest.mark.parametrize("server", ["fast"])
async def test_all_of_it_is_answered_as_by_the_other_server(serve_here: ServeHere) -> None:
    asked = [*PROMPT, *ASIDE]

    assert await replies(await serve(serve_here), asked) == await replies(
        await serve(serve_here, server="hypercorn"), asked
    )
