"""The gate is part of the app: it works under every ASGI server, whatever the server reports about a connection."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import trio

from pexecutor import Executor, LocalStore
from pexecutor.config import Config
from pexecutor.web import create_app

from ..tokens import TABLES, TOKENS


async def call(config: Config, path: str, server: Any, *headers: tuple[bytes, bytes], method: str = "GET") -> Any:
    """Send one request to the app as a server would; return the status and the content of the body."""
    events: list[Any] = []
    scope: Any = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"localhost"), *headers],
        "client": None if server is None else ("192.0.2.99", 1234),
        "server": server,
        "extensions": {},
    }

    end_of_body: Any = {"type": "http.request", "body": b"", "more_body": False}
    to_come, received = trio.open_memory_channel[Any](1)
    to_come.send_nowait(end_of_body)

    async def send(event: Any) -> None:
        events.append(event)

    with trio.fail_after(5):
        await create_app(Executor(LocalStore()), config)(scope, received.receive, send)
    body = b"".join(event["body"] for event in events if event["type"] == "http.response.body")
    return events[0]["status"], msgspec.json.decode(body)


ELSEWHERE = [
    ("192.0.2.7", 8080),
    ("::ffff:192.0.2.7", 8080),
    ("fe80::1%lo", 8080),
    ("2001:db8::1", 8080),
    ("0.0.0.0", 8080),
]
HERE = [("127.0.0.1", 8080), ("::1", 8080), ("127.9.9.9", 80), ("::ffff:127.0.0.1", 80), None]


@pytest.mark.parametrize("server", ELSEWHERE)
@pytest.mark.parametrize(("method", "path"), [("GET", "/tasks"), ("POST", "/drain"), ("POST", "/tasks")])
async def test_without_a_token_configured_nobody_from_elsewhere_gets_anything(
    server: Any, method: str, path: str
) -> None:
    status, problem = await call(Config(), path, server, method=method)

    assert status == 403
    assert "allow_anonymous" in problem["detail"]


@pytest.mark.parametrize("server", ELSEWHERE)
async def test_they_may_still_ask_whether_it_lives_and_learn_no_more(server: Any) -> None:
    assert await call(Config(), "/livez", server) == (200, {"status": "alive"})
    assert "statistics" not in (await call(Config(), "/readyz", server))[1]


@pytest.mark.parametrize("server", [*HERE, *ELSEWHERE])
async def test_everybody_does_when_that_is_allowed(server: Any) -> None:
    assert await call(Config(allow_anonymous=True), "/tasks", server) == (200, [])


@pytest.mark.parametrize("server", HERE)
async def test_everybody_does_who_is_on_this_machine(server: Any) -> None:
    assert await call(Config(), "/tasks", server) == (200, [])


@pytest.mark.parametrize("server", [*HERE, *ELSEWHERE])
async def test_with_tokens_it_does_not_matter_where_somebody_is(server: Any) -> None:
    config = Config(tokens=TABLES)
    shown = (b"authorization", f"Bearer {TOKENS['read']}".encode())

    assert (await call(config, "/tasks", server))[0] == 401
    assert await call(config, "/tasks", server, shown) == (200, [])
    assert (await call(config, "/tasks", server, (b"authorization", b"Bearer x")))[0] == 401
