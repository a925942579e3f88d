"""A server at a base path and behind proxies: routes, links, cookies, addresses and spoofed headers."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import trio
from structlog.testing import capture_logs

from pexecutor import Executor, LocalStore
from pexecutor.config import Config, HttpKind
from pexecutor.web import create_web, make_http
from pexecutor.web.access import login_throttle
from pexecutor.web.serving.listener import HttpServer

from ..conftest import Served, ServeHere, every_launch
from ..raw import JSON, RawClient, RawReply, connected, request
from ..replies import problem_in
from ..tokens import TABLES, TOKENS, UNKNOWN_TOKEN

Headers = tuple[str, ...]

CLIENT: Final = "203.0.113.9"
ADMIN: Final = f"Authorization: Bearer {TOKENS['admin']}"
UNKNOWN: Final = f"Authorization: Bearer {UNKNOWN_TOKEN}"
SCHEDULE: Final = b'{"every": 60000, "task": {"name": "s", "delay": 600000}}'
SIGN_IN: Final = b'{"token": "%b"}' % TOKENS["admin"].encode()
HOOK: Final = {"scheme": "bearer", "secret": "0123456789abcdef", "task": {"name": "hooked"}}

SPOOFED: Final[list[Headers]] = [
    (f"X-Forwarded-For: {CLIENT}",),
    ("X-Forwarded-For: 127.0.0.1",),
    (f"X-Forwarded-For: {CLIENT}", "X-Forwarded-For: 127.0.0.1"),
    ("X-Forwarded-For: not an address",),
    ("X-Forwarded-For: " + "127.0.0.1, " * 300 + "x",),
    ("X-Forwarded-Proto: https",),
    ("X-Forwarded-Proto: gopher",),
    ("X-Forwarded-Host: evil.example",),
    ("X-Forwarded-Host: tasks.example.org", "X-Forwarded-Port: 1"),
    ("X-Forwarded-Prefix: /evil",),
    ("X-Forwarded-Prefix: //evil.example",),
    (f"Forwarded: for={CLIENT};proto=https;host=evil.example",),
    (f"X-Real-IP: {CLIENT}", f"X-Client-IP: {CLIENT}", f"True-Client-IP: {CLIENT}"),
    ("X-Forwarded-Scheme: https", "X-Scheme: https", "X-Forwarded-Ssl: on", "Front-End-Https: on"),
    ("X-Script-Name: /evil", "X-Original-URL: /drain", "X-Rewrite-URL: /drain", "X-HTTP-Method-Override: DELETE"),
]


async def ask(served: Served, line: str, *headers: str, host: str = "localhost", body: bytes | None = None) -> RawReply:
    async with connected(served.port) as client:
        return await client.ask(request(line, *headers, host=host, body=body))


async def links_and_cookies(client: RawClient, *headers: str, prefix: str = "", number: int = 0) -> Iterator[str]:
    """Return the links and cookies in the replies to requests that have some."""
    task = '{"name": "%s%d", "delay": 600000}'
    asked = [
        *(
            request(f"POST {prefix}/tasks{query}", JSON, ADMIN, *headers, body=(task % (name, number)).encode())
            for name, query in (("a", ""), ("b", ""), ("c", "?verdicts=none"))
        ),
        request(f"GET {prefix}/tasks?limit=1&state=scheduled", ADMIN, *headers),
        *(request(f"PUT {prefix}/schedules/{name}{number}", JSON, ADMIN, *headers, body=SCHEDULE) for name in "st"),
        request(f"GET {prefix}/schedules?limit=1", ADMIN, *headers),
        request(f"POST {prefix}/session", JSON, *headers, body=SIGN_IN),
        request(f"DELETE {prefix}/session", *headers),
    ]
    replies = [await client.ask(data) for data in asked]
    assert all(reply.status_code < 300 for reply in replies), [reply.content for reply in replies]
    names = ("location", "link", "set-cookie")
    return (value for reply in replies for name in names if (value := reply.headers.get(name)))


def without_ids(values: Iterator[str]) -> list[str]:
    """Return links and cookies without what differs each time: ids, cursors, and the names that have a number."""
    shown = []
    for value in values:
        if value.startswith("pexecutor_session"):
            shown.append("; ".join(part for part in value.split("; ")[1:] if not part.startswith("Expires=")))
        else:
            shown.append(value.partition("?")[0].rpartition("/")[0])
    return shown


# Headers of peers that are not trusted


@every_launch
@pytest.mark.parametrize("trusted", [(), ("192.0.2.1", "unix")])
async def test_spoofed_headers_change_no_link_and_no_cookie(serve_here: ServeHere, trusted: tuple[str, ...]) -> None:
    served = await serve_here(tokens=TABLES, trusted_proxies=trusted)
    async with connected(served.port) as client:
        plain = without_ids(await links_and_cookies(client))

        assert len(plain) == 9
        for number, spoofed in enumerate(SPOOFED, 1):
            assert without_ids(await links_and_cookies(client, *spoofed, number=number)) == plain, spoofed


@every_launch
@pytest.mark.parametrize("trusted", [(), ("192.0.2.1", "unix")])
async def test_spoofed_headers_change_neither_the_log_nor_the_throttle(
    serve_here: ServeHere, trusted: tuple[str, ...]
) -> None:
    served = await serve_here(tokens=TABLES, trusted_proxies=trusted, hooks={"h": HOOK})
    with capture_logs() as logs:
        for spoofed in SPOOFED:
            await ask(served, "POST /hooks/h", JSON, *spoofed, body=b"{}")
            await ask(served, "POST /session", JSON, *spoofed, body=SIGN_IN)
            await ask(served, "GET /tasks", UNKNOWN, *spoofed)

    peers = [line["peer"] for line in logs if "peer" in line]
    assert peers == ["127.0.0.1"] * (2 * len(SPOOFED) + login_throttle.TRIES_MAX)
    for spoofed in SPOOFED:
        assert (await ask(served, "GET /tasks", UNKNOWN, *spoofed)).status_code == 429


@every_launch
async def test_a_spoofed_host_is_neither_allowed_nor_checked(serve_here: ServeHere) -> None:
    served = await serve_here()

    assert problem_in(await ask(served, "GET /tasks", "X-Forwarded-Host: localhost", host="evil.example"), 421)
    assert (await ask(served, "GET /tasks", "X-Forwarded-Host: evil.example")).status_code == 200
    assert (await ask(served, "GET /tasks", "X-Forwarded-For: faulty", f"X-Forwarded-For: {CLIENT}")).status_code == 200


# Headers of a trusted proxy


@every_launch
async def test_a_trusted_proxy_says_where_the_server_is(serve_here: ServeHere) -> None:
    served = await serve_here(tokens=TABLES, trusted_proxies=("127.0.0.1",), allowed_hosts=("tasks.example.org",))
    reported = ("X-Forwarded-Proto: https", "X-Forwarded-Host: tasks.example.org", "X-Forwarded-Prefix: /px/")
    async with connected(served.port) as client:
        shown = without_ids(await links_and_cookies(client, *reported))

    cookies = [value for value in shown if "Max-Age" in value]
    assert set(shown) - set(cookies) == {"/px/tasks", "/px/schedules", "</px"}
    assert all("Path=/px" in cookie and "Secure" in cookie for cookie in cookies)
    assert problem_in(await ask(served, "GET /tasks", ADMIN, "X-Forwarded-Host: evil.example"), 421)


@every_launch
async def test_pages_of_the_origin_that_a_trusted_proxy_reports_are_our_own(serve_here: ServeHere) -> None:
    served = await serve_here(trusted_proxies=("127.0.0.1",), allowed_hosts=("tasks.example.org",))
    reported = ("X-Forwarded-Proto: https", "X-Forwarded-Host: tasks.example.org")

    statuses = [
        (await ask(served, "DELETE /session", *reported, f"Origin: {origin}", host="backend:8080")).status_code
        for origin in ("https://tasks.example.org", "http://tasks.example.org", "http://backend:8080")
    ]
    assert statuses == [204, 403, 403]


@every_launch
async def test_the_log_and_the_throttle_have_the_client_of_a_trusted_proxy(serve_here: ServeHere) -> None:
    served = await serve_here(tokens=TABLES, trusted_proxies=("127.0.0.1",), hooks={"h": HOOK})
    client = f"X-Forwarded-For: {CLIENT}"
    with capture_logs() as logs:
        await ask(served, "POST /hooks/h", JSON, client, body=b"{}")
        await ask(served, "POST /session", JSON, client, body=SIGN_IN)
        for _ in range(login_throttle.TRIES_MAX):
            await ask(served, "GET /tasks", UNKNOWN, client)

    assert [line["peer"] for line in logs if "peer" in line] == [CLIENT] * (2 + login_throttle.TRIES_MAX)
    statuses = [
        (await ask(served, "GET /tasks", UNKNOWN, *headers)).status_code
        for headers in ([client], ["X-Forwarded-For: 198.51.100.1, " + CLIENT], ["X-Forwarded-For: 198.51.100.1"], [])
    ]
    assert statuses == [429, 429, 401, 401]


@every_launch
@pytest.mark.parametrize("line", ["GET /tasks", "GET /livez", "POST /tasks", "GET /none", "GET /"])
async def test_a_faulty_header_of_a_trusted_proxy_is_refused(serve_here: ServeHere, line: str) -> None:
    served = await serve_here(trusted_proxies=("127.0.0.1",))
    body = b'{"name": "a"}' if line.startswith("POST") else None

    problem = problem_in(await ask(served, line, JSON, "X-Forwarded-For: unknown", body=body), 400)
    assert "X-Forwarded-For" in problem["detail"]
    assert await served.names() == []


# Clients without a token


@every_launch
@pytest.mark.parametrize(
    ("headers", "statuses"),
    [
        ([], (200, 202)),
        (["X-Forwarded-For: 127.0.0.1"], (200, 202)),
        ([f"X-Forwarded-For: {CLIENT}"], (403, 403)),
        (["X-Forwarded-For: 127.0.0.1, " + CLIENT], (403, 403)),
        (["X-Forwarded-Proto: http"], (403, 403)),
    ],
)
async def test_a_client_of_another_machine_is_not_local_because_its_proxy_is(
    serve_here: ServeHere, headers: list[str], statuses: tuple[int, int]
) -> None:
    served = await serve_here(trusted_proxies=("127.0.0.1",))

    listed = await ask(served, "GET /tasks", *headers)
    submitted = await ask(served, "POST /tasks", JSON, *headers, body=b'{"name": "a"}')
    assert (listed.status_code, submitted.status_code) == statuses
    assert (await ask(served, "GET /livez", *headers)).status_code == 200


async def test_who_allows_anonymous_clients_allows_those_of_a_proxy(serve_here: ServeHere) -> None:
    served = await serve_here(trusted_proxies=("127.0.0.1",), allow_anonymous=True)

    assert (await ask(served, "GET /tasks", f"X-Forwarded-For: {CLIENT}")).status_code == 200


async def test_a_head_of_one_peer_is_not_known_from_another_peer(serve_here: ServeHere) -> None:
    """The same bytes mean something else when they come from a trusted proxy."""
    served = await serve_here(trusted_proxies=("127.0.0.2",))
    data = request("POST /tasks", JSON, f"X-Forwarded-For: {CLIENT}", body=b'{"name": "a", "delay": 600000}')
    statuses = []
    for address in ("127.0.0.1", "127.0.0.1", "127.0.0.2"):
        async with await trio.open_tcp_stream("127.0.0.1", served.port, local_address=address) as stream:
            statuses.append((await RawClient(stream).ask(data)).status_code)

    assert statuses == [202, 409, 403]


# The base path


@every_launch
async def test_sessions_of_servers_below_each_other_do_not_disturb_each_other(serve_here: ServeHere) -> None:
    """A browser sends the cookie of ``/`` to ``/px/``, too, and both to ``/px/b``."""
    cookies, servers = [], {path: await serve_here(tokens=TABLES, base_path=path) for path in ("", "/px", "/px/b")}
    for path, served in servers.items():
        reply = await ask(served, f"POST {path}/session", JSON, body=SIGN_IN)
        cookies.append(reply.headers["set-cookie"].partition(";")[0])
        assert f"Path={path or '/'}" in reply.headers["set-cookie"].split("; ")

    sent = f"Cookie: {'; '.join(cookies)}"
    for path, served in servers.items():
        assert (await ask(served, f"GET {path}/session", sent)).json()["name"] == "admin-only", path
        security = (await ask(served, f"GET {path}/openapi.json", ADMIN)).json()["components"]["securitySchemes"]
        assert f"; {sent[8:]}".count(f"; {security['session']['name']}=") == 1
    own = "Sec-Fetch-Site: same-origin"
    assert (await ask(servers["/px"], "DELETE /px/session", sent, own)).status_code == 204
    statuses = [(await ask(served, f"GET {path}/session", sent)).status_code for path, served in servers.items()]
    assert statuses == [200, 401, 200]


@every_launch
async def test_all_links_begin_with_the_base_path(serve_here: ServeHere) -> None:
    served = await serve_here(tokens=TABLES, base_path="/px", hooks={"h": HOOK})
    async with connected(served.port) as client:
        shown = without_ids(await links_and_cookies(client, prefix="/px"))

    cookies = [value for value in shown if "Max-Age" in value]
    assert set(shown) - set(cookies) == {"/px/tasks", "/px/schedules", "</px"}
    assert all("Path=/px" in cookie for cookie in cookies)
    hooked = await ask(served, "POST /px/hooks/h", JSON, f"Authorization: Bearer {HOOK['secret']}", body=b"{}")
    assert hooked.headers["location"] == f"/px/tasks/{hooked.json()['id']}"
    ran = await ask(served, "POST /px/schedules/s0/run", ADMIN)
    assert ran.headers["location"] == f"/px/tasks/{ran.json()['id']}"
    waited = await ask(served, "POST /px/tasks?wait=5", JSON, ADMIN, body=b'{"name": "w", "duration": 0}')
    assert (waited.status_code, waited.headers["location"]) == (200, f"/px/tasks/{waited.json()['id']}")


@every_launch
async def test_pages_and_the_document_fit_the_base_path(serve_here: ServeHere) -> None:
    served = await serve_here(base_path="/px")

    page = await ask(served, "GET /px/")
    [path] = re.findall(r'src="([^"]*/main.js)"', page.content.decode())
    script = await ask(served, f"GET /px/{path}")
    docs, style = await ask(served, "GET /px/docs"), await ask(served, "GET /px/docs/style.css")
    document = (await ask(served, "GET /px/openapi.json")).json()
    assert [reply.status_code for reply in (page, script, docs, style)] == [200] * 4
    for content in (page.content, docs.content):
        assert b'href="/' not in content
        assert b'src="/' not in content
    assert document["servers"] == [{"url": "/px"}]
    assert b"127.0.0.1:8080/px/tasks" in docs.content


@every_launch
async def test_only_probes_are_answered_outside_of_the_base_path(serve_here: ServeHere) -> None:
    served = await serve_here(base_path="/px")

    for path in ("/livez", "/readyz", "/px/livez", "/px/readyz", "http://localhost/px/livez", "http://localhost/livez"):
        assert (await ask(served, f"GET {path}")).status_code == 200
    for path in (
        "/",
        "/tasks",
        "/docs",
        "/pxtasks",
        "/px//tasks",
        "/px/px/tasks",
        "/%70x/tasks",
        "/livez/",
        "/px/livez/",
    ):
        problem = problem_in(await ask(served, f"GET {path}"), 404)
        assert problem["detail"] == "unknown path; see /px/docs for the paths of this server"
    assert problem_in(await ask(served, "POST /tasks", JSON, body=b'{"name": "a"}'), 404)
    assert await served.names("/px/tasks") == []


@every_launch
async def test_the_base_path_without_its_slash_leads_to_the_page(serve_here: ServeHere) -> None:
    served = await serve_here(base_path="/a/px")

    redirect = await ask(served, "GET /a/px")
    assert (redirect.status_code, redirect.headers["location"]) == (308, "/a/px/")
    for query in ("?a=1&b=%C3%A9+x", "?state=pending&tag=x&tag=y&z="):
        redirect = await ask(served, f"GET /a/px{query}")
        assert (redirect.status_code, redirect.headers["location"]) == (308, f"/a/px/{query}")
    assert problem_in(await ask(served, "GET /a"), 404)
    assert problem_in(await ask(served, "POST /a/px"), 405)


@every_launch
async def test_what_a_proxy_has_removed_comes_before_each_link(serve_here: ServeHere) -> None:
    served = await serve_here(base_path="/inner", trusted_proxies=("127.0.0.1",))
    outer = "X-Forwarded-Prefix: /outer", "X-Forwarded-For: 127.0.0.1"

    reply = await ask(served, "POST /inner/tasks", JSON, *outer, body=b'{"name": "a"}')
    assert reply.headers["location"] == f"/outer/inner/tasks/{reply.json()['id']}"
    assert (await ask(served, "GET /inner", *outer)).headers["location"] == "/outer/inner/"
    assert (await ask(served, "GET /inner/openapi.json", *outer)).json()["servers"] == [{"url": "/outer/inner"}]
    assert problem_in(await ask(served, "POST /outer/inner/tasks", JSON, *outer, body=b'{"name": "b"}'), 404)


@pytest.mark.parametrize(("trusted", "status"), [((), 200), (("127.0.0.1",), 200), (("unix",), 403)])
async def test_a_proxy_on_a_unix_socket_is_trusted_by_name(
    nursery: trio.Nursery, server: HttpKind, tmp_path: Path, trusted: tuple[str, ...], status: int
) -> None:
    config, executor = Config(server=server, trusted_proxies=trusted), Executor(LocalStore())
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        listener.setblocking(False)
        http = HttpServer(make_http(create_web(executor, config), config), listener, connections_max=10)
        await nursery.start(executor.run)
        await nursery.start(http.run)
        async with await trio.open_unix_socket(tmp_path / "socket") as stream:
            reply = await RawClient(stream).ask(request("GET /tasks", f"X-Forwarded-For: {CLIENT}"))
        nursery.cancel_scope.cancel()

    assert reply.status_code == status
