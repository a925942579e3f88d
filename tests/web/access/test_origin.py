"""The origin of a request: foreign host names, pages of other sites, and requests with a cookie alone."""

from __future__ import annotations

from typing import Any

import pytest

from pexecutor import Executor, LocalStore
from pexecutor.config import Config
from pexecutor.errors import ConfigError
from pexecutor.web import create_app
from pexecutor.web.access.origin import ServerNames, parse_authority

from ..conftest import Served, ServeHere
from ..raw import JSON, RawReply, connected, request
from ..replies import problem_in
from ..tokens import TABLES, TOKENS

TASK = b'{"name": "a"}'
CHANGES = [
    ("POST /tasks", [JSON], TASK),
    ("POST /drain", [], None),
    ("DELETE /tasks/x", [], None),
    ("POST /session", [JSON], b'{"token": "x"}'),
    ("DELETE /session", [], None),
    ("PUT /none", [], None),
]
MODES: list[dict[str, Any]] = [{}, {"tokens": TABLES}]
ADMIN = f"Authorization: Bearer {TOKENS['admin']}"


async def ask(served: Served, line: str, *headers: str, host: str = "localhost", body: bytes | None = None) -> RawReply:
    async with connected(served.port) as client:
        return await client.ask(request(line, *headers, host=host, body=body))


async def nothing_has_changed(served: Served) -> bool:
    listed = await ask(served, "GET /tasks", ADMIN)
    return listed.json() == [] and not served.executor.draining.is_set()


# Hosts


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LocalHost:1",
        "localhost:",
        "localhost.",
        "LOCALHOST.:8080",
        "127.0.0.1.:80",
        "127.0.0.1",
        "127.1.2.3:8080",
        "[::1]",
        "[::1]:8080",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]:80",
    ],
)
@pytest.mark.parametrize("settings", MODES)
async def test_the_loopback_is_ours(serve_here: ServeHere, settings: dict[str, Any], host: str) -> None:
    served = await serve_here(**settings)

    assert (await ask(served, "GET /tasks", ADMIN, host=host)).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8080",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1.nip.io",
        "evil-localhost",
        "evil.example.",
        "localhost..",
        "0.0.0.0.",
        "0.0.0.0",
        "0.0.0.0:8080",
        "[::]",
        "192.0.2.1",
        "[2001:db8::1]",
        "127.1",
        "0x7f000001",
        "2130706433",
        "0177.0.0.1",
        ".",
        "..",
        "x" * 64,
    ],
)
@pytest.mark.parametrize("settings", MODES)
@pytest.mark.parametrize(
    "line", ["GET /tasks", "GET /livez", "GET /none", "POST /drain", "OPTIONS /tasks", "HEAD /tasks"]
)
async def test_any_other_host_is_refused_whatever_is_asked(
    serve_here: ServeHere, settings: dict[str, Any], host: str, line: str
) -> None:
    served = await serve_here(**settings)

    async with connected(served.port) as client:
        await client.send(request(line, ADMIN, host=host))
        assert b"HTTP/1.1 421 " in await client.stream.receive_some(1000)
    assert await nothing_has_changed(served)


@pytest.mark.parametrize(
    "target", ["http://evil.example/tasks", "HTTPS://evil.example:80/tasks", "http://evil.example"]
)
async def test_the_host_of_a_target_counts_as_well(served: Served, target: str) -> None:
    assert problem_in(await ask(served, f"GET {target}"), 421)


async def test_a_target_of_ours_does_not_make_up_for_a_host_that_is_not(served: Served) -> None:
    assert problem_in(await ask(served, "GET http://localhost/tasks", host="evil.example"), 421)


@pytest.mark.parametrize(
    "target", ["http://user@localhost/tasks", "http://evil.example@localhost/tasks", "http:///tasks"]
)
async def test_a_target_with_more_than_a_host_is_refused(served: Served, target: str) -> None:
    assert problem_in(await ask(served, f"GET {target}"), 400)


async def test_a_second_host_is_refused(served: Served) -> None:
    for hosts in (["evil.example", "localhost"], ["localhost", "evil.example"], ["localhost", "localhost"]):
        assert problem_in(await ask(served, "GET /tasks", f"Host: {hosts[1]}", host=hosts[0]), 400)


@pytest.mark.parametrize("header", ["X-Forwarded-Host", "Forwarded", "X-Original-Host", "X-Host"])
async def test_what_a_proxy_would_say_of_the_host_is_not_looked_at(served: Served, header: str) -> None:
    assert problem_in(await ask(served, "GET /tasks", f"{header}: localhost", host="evil.example"), 421)
    assert (await ask(served, "GET /tasks", f"{header}: evil.example")).status_code == 200


async def test_http_1_0_needs_no_host_and_may_not_say_a_wrong_one(served: Served) -> None:
    async with connected(served.port) as client:
        assert (await client.ask(b"GET /livez HTTP/1.0\r\n\r\n")).status_code == 200
    async with connected(served.port) as client:
        assert problem_in(await client.ask(b"GET /livez HTTP/1.0\r\nHost: evil.example\r\n\r\n"), 421)
    async with connected(served.port) as client:
        origin = b"POST /drain HTTP/1.0\r\nOrigin: http://localhost\r\n\r\n"
        assert problem_in(await client.ask(origin), 403)


async def test_further_names_are_configured(serve_here: ServeHere) -> None:
    served = await serve_here(allowed_hosts=("Tasks.Example.org", "other.example:8443", "[2001:db8::1]"))

    for host in ("tasks.example.org", "TASKS.example.org:99", "other.example:8443", "[2001:db8:0::1]:1"):
        assert (await ask(served, "GET /tasks", host=host)).status_code == 200
    for host in ("other.example", "other.example:8444", "x.tasks.example.org", "tasks.example.org.evil.example"):
        assert problem_in(await ask(served, "GET /tasks", host=host), 421)


def test_the_address_that_was_bound_is_ours_and_the_one_that_a_connection_came_in_at() -> None:
    own = ServerNames("tasks.lan", ())
    everywhere = ServerNames("0.0.0.0", ())

    assert own.include(_authority("TASKS.lan:80"), "192.0.2.7")
    assert everywhere.include(_authority("192.0.2.7:80"), "192.0.2.7")
    assert everywhere.include(_authority("192.0.2.7:80"), "::ffff:192.0.2.7")
    assert everywhere.include(_authority("[fe80::1]"), "fe80::1%eth0")
    assert not everywhere.include(_authority("192.0.2.8"), "192.0.2.7")
    assert not everywhere.include(_authority("0.0.0.0"), "192.0.2.7")
    assert not everywhere.include(_authority("tasks.lan"), None)


def _authority(text: str) -> Any:
    authority = parse_authority(text)
    assert authority is not None
    return authority


@pytest.mark.parametrize("host", ["", "*", "http://x", "a b", "x/y", "0.0.0.0", "[::]", "[::1", "x@y"])
def test_an_allowed_host_that_is_none_is_a_usage_error(host: str) -> None:
    with pytest.raises(ConfigError, match="allowed_hosts"):
        create_app(Executor(LocalStore()), Config(allowed_hosts=(host,)))


# Other sites


@pytest.mark.parametrize(
    "headers",
    [
        ["Origin: http://evil.example"],
        ["Origin: https://localhost.evil.example"],
        ["Origin: null"],
        ["Origin: "],
        ["Origin: localhost"],
        ["Origin: http://localhost:1"],
        ["Origin: http://127.0.0.1"],
        ["Origin: http://[::1]"],
        ["Origin: https://localhost", "Sec-Fetch-Site: same-site"],
        ["Origin: http://user@localhost"],
        ["Origin: http://localhost/"],
        ["Origin: http://localhost http://evil.example"],
        ["Origin: file://"],
        ["Origin: http://localhost", "Origin: http://evil.example"],
        ["Origin: http://localhost", "Origin: http://localhost"],
        ["Origin: http://localhost", "Sec-Fetch-Site: cross-site"],
        ["Sec-Fetch-Site: cross-site"],
        ["Sec-Fetch-Site: same-site"],
        ["Sec-Fetch-Site: Same-Origin"],
        ["Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"],
        ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Dest: document"],
    ],
)
@pytest.mark.parametrize("settings", MODES)
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change[0])
async def test_no_other_site_changes_anything(
    serve_here: ServeHere, settings: dict[str, Any], change: tuple[str, list[str], bytes | None], headers: list[str]
) -> None:
    served = await serve_here(**settings)
    line, more, body = change

    assert problem_in(await ask(served, line, ADMIN, *more, *headers, body=body), 403)
    assert await nothing_has_changed(served)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
async def test_what_a_form_can_send_is_not_taken(served: Served, kind: str) -> None:
    assert problem_in(await ask(served, "POST /tasks", f"Content-Type: {kind}", body=b'[{"name": "a"}]'), 415)


@pytest.mark.parametrize(
    ("host", "headers"),
    [
        ("localhost:8080", ["Origin: http://localhost:8080"]),
        ("localhost:8080", ["Origin: HTTP://LOCALHOST:8080", "Sec-Fetch-Site: same-origin"]),
        ("localhost", ["Origin: http://localhost:80"]),
        ("localhost:80", ["Origin: http://localhost"]),
        ("localhost:443", ["Origin: https://localhost"]),  # through a proxy that ends TLS
        ("localhost", ["Origin: https://localhost"]),
        ("[::1]:8080", ["Origin: http://[::1]:8080"]),
        ("localhost", ["Sec-Fetch-Site: same-origin"]),
        ("localhost", ["Sec-Fetch-Site: none"]),
        ("localhost", []),
    ],
)
async def test_our_own_pages_and_those_who_are_no_browser_do(served: Served, host: str, headers: list[str]) -> None:
    assert (await ask(served, "POST /tasks", JSON, *headers, host=host, body=TASK)).status_code == 202


async def test_a_page_behind_a_proxy_is_our_own_when_it_is_configured(serve_here: ServeHere) -> None:
    served = await serve_here(allowed_hosts=("tasks.example.org", "other.example:8443"))

    for origin in ("https://tasks.example.org", "http://tasks.example.org:80", "https://other.example:8443"):
        assert (await ask(served, "DELETE /session", f"Origin: {origin}")).status_code == 204
    for origin in ("https://tasks.example.org:8443", "https://other.example", "https://x.tasks.example.org"):
        assert problem_in(await ask(served, "DELETE /session", f"Origin: {origin}"), 403)


def test_over_tls_a_plain_page_is_another_site() -> None:
    own = ServerNames("127.0.0.1", ())

    assert own.include_origin("https://localhost:8080", _authority("localhost:8080"), "https")
    assert not own.include_origin("http://localhost:8080", _authority("localhost:8080"), "https")


@pytest.mark.parametrize(
    "headers",
    [
        ["Origin: http://evil.example"],
        ["Origin: null"],
        ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image"],
        ["Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"],
        ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"],
    ],
)
async def test_no_other_site_makes_us_work_for_it(served: Served, headers: list[str]) -> None:
    assert problem_in(await ask(served, "GET /tasks/x?wait=300", *headers), 403)
    assert (await ask(served, "GET /livez", *headers)).status_code == 200


async def test_a_link_on_another_site_may_be_followed(served: Served) -> None:
    link = ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"]

    assert (await ask(served, "GET /tasks", *link)).status_code == 200
