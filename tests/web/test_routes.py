"""A row in the route table is all that a route needs. These tests add one row and check its effects."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import msgspec
import pytest
from quart_trio import QuartTrio

from pexecutor import Executor, LocalStore
from pexecutor.config import Config, HttpKind
from pexecutor.web import create_web
from pexecutor.web.api.reply import Reply, json_reply
from pexecutor.web.api.request import IncomingRequest
from pexecutor.web.api.route import Doc, DocumentedReply, Media, Route, RouteTable
from pexecutor.web.routes import ROUTES

from . import conftest
from .conftest import HOSTED, Served, ServeHere
from .raw import connected, request
from .replies import problem_in
from .tokens import TABLES, TOKENS, bearer

READ = bearer(TOKENS["read"])


class GreetingQuery(msgspec.Struct):
    """The greeting.

    Parameters:
        times: how often to greet.
    """

    times: int = 1


async def greet(request: IncomingRequest) -> Reply:
    return json_reply([f"hello {request.parameters['name']}"] * request.query.times)


GREETING = Route(
    "GET",
    "/greetings/{name}",
    scope="read",
    answer=greet,
    query=GreetingQuery,
    doc=Doc("Server", "greet", "Greet.", {200: DocumentedReply("Greetings.", (Media("application/json", {}),))}),
)


@pytest.fixture
def answered_by_the_framework(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, str]]:
    """Count the requests that the framework answers, by method and path."""
    answered = Counter[tuple[str, str]]()
    handle_request = QuartTrio.handle_request

    async def note(self: QuartTrio, asked: Any) -> Any:
        answered[asked.method, asked.path] += 1
        return await handle_request(self, asked)

    monkeypatch.setattr(QuartTrio, "handle_request", note)
    return answered


async def ask_each(served: Served) -> list[tuple[str, str]]:
    """Send one request for each route of the table; return their methods and paths."""
    asked = [(route.method, route.path_with(lambda _: "x")) for route in ROUTES]
    for method, path in asked:
        async with connected(served.port) as client:
            await client.send(request(f"{method} {path}", "Connection: close"))
            await client.head()
    return asked


@pytest.mark.parametrize("server", ["hypercorn", HOSTED])
async def test_under_hypercorn_the_framework_answers_every_route(
    served: Served, answered_by_the_framework: Counter[tuple[str, str]]
) -> None:
    asked = await ask_each(served)

    assert answered_by_the_framework == Counter(asked)


@pytest.mark.parametrize("server", ["fast"])
async def test_the_fast_listener_leaves_only_other_routes_to_the_framework(
    served: Served, answered_by_the_framework: Counter[tuple[str, str]]
) -> None:
    asked = await ask_each(served)

    needs_body = {(route.method, route.path_with(lambda _: "x")) for route in ROUTES if route.body}
    left = [one for one, route in zip(asked, ROUTES, strict=True) if not route.prompt or one in needs_body]
    assert answered_by_the_framework == Counter(left)
    assert len(left) < len(asked) / 2


# An additional row


@pytest.fixture
async def greeting(serve_here: ServeHere, monkeypatch: pytest.MonkeyPatch) -> Served:
    """A server with an additional row in its table, and with tokens."""
    monkeypatch.setattr(conftest, "create_web", partial(create_web, table=RouteTable([*ROUTES, GREETING])))
    return await serve_here(tokens=TABLES)


async def test_its_function_answers(
    greeting: Served, server: HttpKind, answered_by_the_framework: Counter[tuple[str, str]]
) -> None:
    reply = await greeting.client.get("/greetings/you?times=2", headers=READ)

    assert (reply.status_code, reply.json()) == (200, ["hello you"] * 2)
    assert answered_by_the_framework.total() == (0 if server == "fast" else 1)
    assert (await greeting.client.get("/greetings/%C3%BC", headers=READ)).json() == ["hello ü"]


async def test_its_query_is_checked(greeting: Served) -> None:
    for query in ("times=x", "wat=1", "times=1&times=2"):
        problem_in(await greeting.client.get(f"/greetings/you?{query}", headers=READ), 400)


async def test_its_scope_is_checked(greeting: Served) -> None:
    assert problem_in(await greeting.client.get("/greetings/you"), 401)
    assert (await greeting.client.get("/greetings/you", headers=bearer(TOKENS["submit"]))).status_code == 200


async def test_its_methods_follow(greeting: Served) -> None:
    head = await greeting.client.head("/greetings/you", headers=READ)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len('["hello you"]')))
    assert (await greeting.client.head("/greetings/you")).status_code == 401

    options = await greeting.client.options("/greetings/you")
    wrong = await greeting.client.delete("/greetings/you", headers=READ)
    assert problem_in(wrong, 405)
    for reply in (options, wrong):
        assert set(reply.headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


async def test_it_is_documented(greeting: Served) -> None:
    document = (await greeting.client.get("/openapi.json", headers=READ)).json()
    operation = document["paths"]["/greetings/{name}"]["get"]

    assert operation["operationId"] == "greet"
    assert [parameter["name"] for parameter in operation["parameters"]] == ["name", "times"]
    assert "Greet." in (await greeting.client.get("/docs", headers=READ)).text


# No matching row


def test_a_row_without_a_scope_cannot_be_written() -> None:
    with pytest.raises(TypeError, match="scope"):
        Route("GET", "/greetings", answer=greet)  # type: ignore[call-arg]


async def test_a_rule_without_a_row_is_not_served() -> None:
    async def view() -> str:
        return "hello"

    app = create_web(Executor(LocalStore()), Config()).app
    app.add_url_rule("/greetings", view_func=view)

    client = app.test_client()
    for ask in (client.get, client.head, client.options):
        assert (await ask("/greetings")).status_code == 404
