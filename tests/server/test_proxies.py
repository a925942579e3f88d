"""nginx, haproxy and Caddy with the files of the how-to page, in front of a server at a name and at a path."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from pexecutor import Client
from pexecutor.access import new_token
from pexecutor.client.documents import DocumentClient
from pexecutor.limits.times import WAIT_SECONDS_MAX
from pexecutor.web.access.login_throttle import TRIES_MAX

from .conftest import Run
from .process import ServerProcess, eventually
from .proxies import EXAMPLES, PROGRAMS, SITES, Proxy, Site, proxying, serving_sites

Servers = tuple[str, dict[Site, ServerProcess]]

EVERY_SITE: Final = pytest.mark.parametrize("site", SITES, ids=lambda site: site.name)
NAMED, PASSED_ON, REMOVED = SITES


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """A server for each example."""
    with serving_sites(tmp_path_factory.mktemp("servers")) as started:
        yield started


@pytest.fixture(scope="module", params=PROGRAMS)
def proxy(
    request: pytest.FixtureRequest, servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    """A proxy in front of the servers."""
    with proxying(request.param, tmp_path_factory.mktemp(request.param), *servers) as started:
        yield started


@pytest.fixture
def resolving(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the names of the examples lead to the proxy, in this process."""
    resolve = socket.getaddrinfo

    def resolve_sites(host: Any, port: Any, *arguments: Any, **named: Any) -> Any:
        is_site = (host.decode() if isinstance(host, bytes) else host) in {site.name for site in SITES}
        return resolve(*(("127.0.0.1", proxy.https_port) if is_site else (host, port)), *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolve_sites)
    monkeypatch.setenv("SSL_CERT_FILE", str(proxy.authority))
    monkeypatch.setenv("PEXECUTOR_TOKEN", proxy.token)


def name_of(request: pytest.FixtureRequest) -> str:
    """Return a name for a task of this test alone."""
    return re.sub(r"\W", "-", request.node.name)


def header_of(reply: str, name: str) -> str:
    found = re.search(rf"(?mi)^{name}: (.*?)\r?$", reply)
    assert found is not None, reply
    return found[1]


@EVERY_SITE
def test_links_lead_back_through_the_proxy(proxy: Proxy, site: Site, request: pytest.FixtureRequest) -> None:
    task = json.dumps({"name": name_of(request), "delay": 600_000})

    assert proxy.status_of(site, "/tasks", authorized=False) == 401
    location = header_of(proxy.curl(site, "/tasks", "--json", task, "--include"), "location")
    assert location.startswith(f"{site.path}/tasks/")
    assert json.loads(proxy.curl(site, location.removeprefix(site.path)))["name"] == name_of(request)

    proxy.curl(site, "/tasks", "--json", task.replace('": "', '": "second-', 1))
    link = header_of(proxy.curl(site, "/tasks?limit=1", "--include"), "link")
    assert link.startswith(f"<{site.path}/tasks?"), link
    if site is not REMOVED:  # nginx normalizes a path when it removes a part of it
        assert proxy.status_of(site, "//tasks", "--path-as-is") == 404, "a path is passed on as it is written"
    assert proxy.redirected(site, f"http://{site.name}{site.path}/tasks").startswith(f"https://{site.name}{site.path}/")


@EVERY_SITE
def test_pages_and_their_files_are_found(proxy: Proxy, site: Site) -> None:
    page, docs = proxy.curl(site, "/", authorized=False), proxy.curl(site, "/docs")
    relative = re.findall(r'(?:href|src)="([^#"]*)"', page + docs)

    named = {re.sub(r"static/\w+/", "", path) for path in relative}
    assert {"ui/app/main.js", "ui/style/base.css", "docs/style.css", "openapi.json"} <= named
    assert not [path for path in relative if path.startswith("/")]
    with proxy.connected(site) as connection:
        for path in set(relative):
            headers = {"Authorization": f"Bearer {proxy.token}"}
            connection.request("GET", f"{site.path}/{path}", headers=headers)
            reply = connection.getresponse()
            assert (reply.read() != b"", reply.status) == (True, 200), path
    document = json.loads(proxy.curl(site, "/openapi.json"))
    assert document["servers"] == [{"url": site.path or "/"}]


@pytest.mark.parametrize("site", [PASSED_ON, REMOVED], ids=lambda site: site.name)
def test_the_path_without_its_slash_leads_to_the_page(proxy: Proxy, site: Site) -> None:
    leads_to = proxy.redirected(site, f"https://{site.name}/px")

    assert leads_to.replace(f":{proxy.https_port}/", "/") == f"https://{site.name}/px/"  # nginx adds its own port


@EVERY_SITE
def test_the_command_line_works_through_a_proxy(
    proxy: Proxy, site: Site, resolving: None, run: Run, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url, name = ("--url", f"https://{site.name}{site.path}/"), name_of(request)
    go = tmp_path / "go"

    submitted = run("submit", name, "--handler", "chatty", f"go={go}", *url)
    assert submitted.returncode == 0, submitted
    listed = run("list", "--json", *url)
    assert name in {json.loads(line)["name"] for line in listed.stdout.splitlines()}
    go.touch()
    assert run("wait", name, *url).returncode == 0
    followed = run("logs", "-f", name, *url)
    assert (followed.returncode, followed.stdout) == (0, "one\ntwo\n")


@EVERY_SITE
def test_a_client_reads_each_page_and_each_line_at_once(
    proxy: Proxy, site: Site, resolving: None, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    go = tmp_path / "go"
    with DocumentClient(f"https://{site.name}{site.path}/", proxy.token) as client:
        task = client.submit({"name": name_of(request), "handler": "chatty", "params": {"go": str(go)}}).value
        others = [{"name": f"{name_of(request)}-{number}", "delay": 600_000} for number in range(3)]
        for other in others:
            client.submit(other)
        pages = list(client.pages(name_prefix=name_of(request), limit="2"))
        with client.log(task["id"], follow=True) as log:
            first = next(log.lines)
            go.touch()
            rest = list(log.lines)

    assert sum(len(page) for page in pages) == 4
    assert b"one" in first
    assert any(b"two" in line for line in rest)


@EVERY_SITE
def test_a_program_waits_for_a_task_through_a_proxy(
    proxy: Proxy, site: Site, resolving: None, request: pytest.FixtureRequest
) -> None:
    with Client(f"https://{site.name}{site.path}/", proxy.token) as client:
        handle = client.submit(name_of(request), duration=50)

        assert handle.wait(30).outcome == "succeeded"
        assert [record.id for record in client.list(name=name_of(request))] == [handle.id]


@EVERY_SITE
def test_a_browser_signs_in_behind_a_proxy(proxy: Proxy, site: Site, tmp_path: Path) -> None:
    body = json.dumps({"token": proxy.token})
    page = ("--header", f"Origin: https://{site.name}", "--cookie", str(tmp_path / "jar"))

    reply = proxy.curl(
        site, "/session", "--json", body, *page, "--cookie-jar", str(tmp_path / "jar"), "--include", authorized=False
    )

    cookie = header_of(reply, "set-cookie")
    assert {"Secure", "HttpOnly", f"Path={site.path or '/'}"} <= set(cookie.split("; "))
    assert json.loads(proxy.curl(site, "/session", *page, authorized=False))["name"] == "ci"
    assert proxy.status_of(site, "/session", "--request", "DELETE", *page, authorized=False) == 204
    other = ("--header", "Origin: http://evil.example")
    assert proxy.status_of(site, "/session", "--json", body, *other, authorized=False) == 403


@EVERY_SITE
def test_events_and_streams_of_tasks_pass_a_proxy_at_once(
    proxy: Proxy, site: Site, request: pytest.FixtureRequest
) -> None:
    name = name_of(request).encode()
    with proxy.connected(site) as events, proxy.connected(site) as tasks:
        events.request("GET", f"{site.path}/events", headers={"Authorization": f"Bearer {proxy.token}"})
        reader = events.getresponse()
        assert reader.readline().startswith(b"id: "), "the stream has begun, and nothing has happened"

        tasks.putrequest("POST", f"{site.path}/tasks")
        for header in (("Authorization", f"Bearer {proxy.token}"), ("Content-Type", "application/x-ndjson")):
            tasks.putheader(*header)
        tasks.putheader("Transfer-Encoding", "chunked")
        tasks.endheaders()
        line = b'{"name":"%b"}\n' % name
        tasks.send(b"%x\r\n%b\r\n" % (len(line), line))
        # The stream of tasks has not ended, so its first line has arrived at once.
        while b'"name":"%b"' % name not in (event := reader.readline()):
            assert event, "the stream has ended"
        tasks.send(b"0\r\n\r\n")
        assert json.load(tasks.getresponse())["SubmittedTasks"] == 1


def test_a_large_list_passes_a_proxy(proxy: Proxy, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    tasks = [{"name": f"{number:0>200}-{name_of(request)}"[-255:], "delay": 600_000} for number in range(9000)]
    (tmp_path / "tasks.json").write_text(json.dumps(tasks), encoding="utf-8")

    reply = json.loads(proxy.curl(REMOVED, "/tasks?verdicts=none", "--json", f"@{tmp_path}/tasks.json"))

    assert reply["RequestedTask"] == 9000
    proxy.curl(REMOVED, "/tasks/bulk", "--json", '{"action": "cancel", "filter": {"name_prefix": "0"}, "max": 9000}')


@EVERY_SITE
def test_wrong_tokens_count_for_the_client_and_not_for_the_proxy(proxy: Proxy, site: Site) -> None:
    clients = {1: f"127.0.{SITES.index(site)}.{proxy.https_port % 250 + 2}", 2: "127.0.9.9"}
    wrong = ("--header", f"Authorization: Bearer {new_token()}")

    def status_for(number: int, *more: str) -> int:
        return proxy.status_of(site, "/tasks", "--interface", clients[number], *wrong, *more, authorized=False)

    spoofed = ("--header", "X-Forwarded-For: 198.51.100.1", "--header", "X-Forwarded-Prefix: /evil")
    assert {status_for(1, *spoofed) for _ in range(TRIES_MAX)} == {401}
    assert [status_for(1), status_for(2)] == [429, 401]
    log = proxy.servers[site]
    eventually(lambda: clients[1] in {event.get("peer") for event in log.log_events()})


@EVERY_SITE
def test_what_a_client_claims_does_not_pass_a_proxy(proxy: Proxy, site: Site, request: pytest.FixtureRequest) -> None:
    claims = ("Host: evil.example", "Prefix: /evil", "Proto: http", "For: 127.0.0.1")
    spoofed = [word for claim in claims for word in ("--header", f"X-Forwarded-{claim}")]
    task = json.dumps({"name": name_of(request), "delay": 600_000})

    reply = proxy.curl(site, "/tasks", "--json", task, "--include", *spoofed)
    assert header_of(reply, "location").startswith(f"{site.path}/tasks/")
    page = ("--header", f"Origin: https://{site.name}")
    cookie = proxy.curl(site, "/session", "--request", "DELETE", "--include", *page, *spoofed, authorized=False)
    assert "Secure" in header_of(cookie, "set-cookie")


def test_a_proxy_waits_longer_than_a_request_may() -> None:
    """Caddy has no limit."""
    units = {"s": 1, "m": 60, "h": 3600}
    nginx = re.findall(r"proxy_(?:read|send)_timeout (\d+)(\w);", (EXAMPLES / "nginx.conf").read_text(encoding="utf-8"))
    haproxy = re.findall(
        r"timeout (?:client|server) (\d+)(\w)\n", (EXAMPLES / "haproxy.cfg").read_text(encoding="utf-8")
    )

    assert (len(nginx), len(haproxy)) == (2 * len(SITES), 2)
    assert all(int(number) * units[unit] > WAIT_SECONDS_MAX for number, unit in nginx + haproxy)
