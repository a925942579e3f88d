"""Access by scope: every route with every kind of token, and every way to send a token."""

from __future__ import annotations

import re
from itertools import product

import pytest

from pexecutor import Executor, LocalStore
from pexecutor.access import SCOPES, Scope
from pexecutor.config import Config, HttpKind
from pexecutor.errors import ConfigError
from pexecutor.web import create_app
from pexecutor.web.access import login_throttle

from ..conftest import Served, ServeHere
from ..needs import NEEDS
from ..raw import JSON, RawReply, connected, request
from ..replies import problem_in, retry_after_in
from ..tokens import TABLES, TOKENS, UNKNOWN_TOKEN, bearer

APP = create_app(Executor(LocalStore()), Config())

ROUTES = sorted(
    f"{method} {rule.rule}"
    for rule in APP.url_map.iter_rules()
    for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
)


def need_of(route: str) -> str:
    return NEEDS[re.sub(r"<[^>]*>", "{}", route)]


def path_of(route: str) -> str:
    return re.sub(r"<[^>]*>", "x", route.partition(" ")[2])


async def status_of(served: Served, method: str, path: str, **headers: str) -> int:
    """Return the status of the reply; do not read an endless body."""
    async with served.client.stream(method, path, headers=headers) as reply:
        return reply.status_code


@pytest.fixture
async def guarded(serve_here: ServeHere) -> Served:
    """A server with three tokens."""
    return await serve_here(tokens=TABLES)


@pytest.mark.parametrize("route", ROUTES)
def test_the_table_says_what_each_route_needs(route: str) -> None:
    assert need_of(route) in ("open", "signed", *SCOPES)


@pytest.mark.parametrize(("route", "who"), list(product(ROUTES, [None, *SCOPES])))
async def test_each_route_for_everybody(guarded: Served, route: str, who: Scope | None) -> None:
    need, (method, _, _) = need_of(route), route.partition(" ")
    headers = {} if who is None else bearer(TOKENS[who])

    status = await status_of(guarded, method, path_of(route), **headers)

    if need == "signed":
        assert status == 404, "no hook has this name; tokens are not read"
    elif need == "open" or (who is not None and SCOPES.index(who) >= SCOPES.index(need)):
        assert status not in (401, 403)
    else:
        assert status == (401 if who is None else 403)


@pytest.mark.parametrize("route", [route for route in ROUTES if route.startswith("GET") and need_of(route) != "open"])
async def test_head_needs_what_get_needs(guarded: Served, route: str) -> None:
    assert await status_of(guarded, "HEAD", path_of(route)) == 401
    assert await status_of(guarded, "HEAD", path_of(route), **bearer(TOKENS["read"])) not in (401, 403)


@pytest.mark.parametrize("route", ROUTES)
async def test_options_tells_methods_and_lets_no_other_site_in(guarded: Served, route: str) -> None:
    preflight = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}

    reply = await guarded.client.options(path_of(route), headers=preflight)

    assert reply.status_code == 200
    assert not [name for name in reply.headers if name.startswith("access-control")]


@pytest.mark.parametrize("route", ROUTES)
async def test_without_a_token_configured_everything_is_allowed_on_the_loopback(served: Served, route: str) -> None:
    method, _, _ = route.partition(" ")

    assert await status_of(served, method, path_of(route)) not in (401, 403)


async def test_a_route_that_is_not_in_the_table_is_refused(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(NEEDS, "GET /tasks")

    assert problem_in(await served.client.get("/tasks"), 403)
    assert (await served.client.get("/tasks/pending")).status_code == 200


@pytest.mark.parametrize(
    "target",
    [
        "/%74asks",
        "//tasks",
        "/tasks?x=/livez",
        "http://localhost/tasks",
        "HTTP://LOCALHOST:1/tasks",
        "http:%2f%2flocalhost/tasks",
        "/tasks/%2e%2e",
        "/tasks/..%2flivez",
        "/tasks/running",
        "/tasks/%70ending",
        "/tasks/livez",
    ],
)
async def test_however_a_path_is_written_it_needs_what_its_route_needs(guarded: Served, target: str) -> None:
    async with connected(guarded.port) as client:
        reply = await client.ask(request(f"GET {target}"))
        assert reply.status_code in (400, 401, 404)
    async with connected(guarded.port) as client:
        assert (await client.ask(request("POST /livez/../drain"))).status_code in (401, 404)
    assert not guarded.executor.draining.is_set()
    if reply.status_code == 401:
        assert (await ask(guarded, f"GET {target}", f"Authorization: Bearer {TOKENS['read']}")).status_code != 401


@pytest.mark.parametrize("target", ["/drain/", "/drain//", "/./drain", "/Drain", "/drain%00", "/drain%20"])
async def test_what_only_looks_like_a_route_is_none(guarded: Served, target: str) -> None:
    assert problem_in(await ask(guarded, f"POST {target}", f"Authorization: Bearer {TOKENS['admin']}"), 404)
    assert not guarded.executor.draining.is_set()


async def test_each_request_on_a_connection_is_asked(guarded: Served) -> None:
    shown = f"Authorization: Bearer {TOKENS['admin']}"
    async with connected(guarded.port) as client:
        await client.send(request("GET /tasks", shown) + request("GET /tasks") + request("GET /tasks", shown))

        assert [(await client.reply()).status_code for _ in range(3)] == [200, 401, 200]


async def ask(served: Served, line: str, *headers: str, body: bytes | None = None) -> RawReply:
    async with connected(served.port) as client:
        return await client.ask(request(line, *headers, body=body))


@pytest.mark.parametrize("method", ["post", "Post", "pOST"])
async def test_a_method_is_what_it_is_however_it_is_written(guarded: Served, server: HttpKind, method: str) -> None:
    """With Hypercorn, a method in another case needs the same scope. The fast listener's parser refuses it with 400."""
    unauthenticated, forbidden = (401, 403) if server == "hypercorn" else (400, 400)
    assert problem_in(await ask(guarded, f"{method} /drain"), unauthenticated)
    shown = f"Authorization: Bearer {TOKENS['submit']}"
    assert problem_in(await ask(guarded, f"{method} /drain", shown), forbidden)
    other_site = [f"Authorization: Bearer {TOKENS['admin']}", "Origin: http://evil.example"]
    assert problem_in(await ask(guarded, f"{method} /drain", *other_site), forbidden)
    assert not guarded.executor.draining.is_set()


@pytest.mark.parametrize("method", ["X-HTTP-Method-Override: GET", "X-HTTP-Method: GET", "X-Method-Override: GET"])
async def test_a_method_cannot_be_said_to_be_another(guarded: Served, method: str) -> None:
    assert problem_in(await ask(guarded, "POST /drain", method, f"Authorization: Bearer {TOKENS['read']}"), 403)


# Ways to send a token


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
async def test_a_token_is_shown_as_a_bearer_token(guarded: Served, scheme: str) -> None:
    reply = await ask(guarded, "GET /tasks", f"Authorization: {scheme} {TOKENS['read']}")

    assert reply.status_code == 200


@pytest.mark.parametrize("credentials", [None, "", "Basic cGV4OnBleA==", f"Token {TOKENS['admin']}", TOKENS["admin"]])
async def test_who_shows_no_token_is_told_how(guarded: Served, credentials: str | None) -> None:
    reply = await ask(guarded, "GET /tasks", *([] if credentials is None else [f"Authorization: {credentials}"]))

    assert "Authorization: Bearer" in problem_in(reply, 401)["detail"]
    assert reply.headers["www-authenticate"] == 'Bearer realm="pexecutor"'


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        UNKNOWN_TOKEN,
        TOKENS["read"][:-1],
        TOKENS["read"] + "x",
        TOKENS["read"].upper(),
        TOKENS["read"].removeprefix("pex_"),
        f"{TOKENS['read']}, {TOKENS['read']}",
        f'"{TOKENS["read"]}"',
        TABLES["read-only"]["sha256"],
        "read-only",
        "pex_\xff",
    ],
)
async def test_a_token_that_is_not_known_is_refused(guarded: Served, token: str) -> None:
    reply = await ask(guarded, "GET /tasks", f"Authorization: Bearer {token}")

    assert problem_in(reply, 401)
    assert 'error="invalid_token"' in reply.headers["www-authenticate"]
    assert not token or token.encode("latin1") not in reply.content


async def test_the_hash_of_a_password_in_the_file_opens_nothing(serve_here: ServeHere) -> None:
    password_hash = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8"
    served = await serve_here(tokens={"weak": {"sha256": password_hash, "scope": "admin"}})

    assert problem_in(await served.client.get("/tasks", headers=bearer("password")), 401)


async def test_a_token_of_too_small_a_scope_is_told_which_it_takes(guarded: Served) -> None:
    reply = await guarded.client.post("/drain", headers=bearer(TOKENS["submit"]))

    assert "admin" in problem_in(reply, 403)["detail"]
    assert reply.headers["www-authenticate"] == 'Bearer realm="pexecutor", error="insufficient_scope", scope="admin"'


@pytest.mark.parametrize("second", [TOKENS["admin"], TOKENS["read"], UNKNOWN_TOKEN])
async def test_two_authorizations_are_refused(guarded: Served, second: str) -> None:
    shown = [f"Authorization: Bearer {TOKENS['read']}", f"Authorization: Bearer {second}"]

    for headers in (shown, shown[::-1]):
        reply = await ask(guarded, "GET /tasks", *headers)
        assert problem_in(reply, 400)
        assert 'error="invalid_request"' in reply.headers["www-authenticate"]


@pytest.mark.parametrize("where", ["/tasks?access_token={}", "/tasks?token={}"])
async def test_a_token_in_the_query_opens_nothing(guarded: Served, where: str) -> None:
    assert problem_in(await guarded.client.get(where.format(TOKENS["admin"])), 401)


async def test_nothing_of_a_refused_submit_is_taken(guarded: Served) -> None:
    body = b'[{"name": "a"}]'

    assert problem_in(await ask(guarded, "POST /tasks", JSON, body=body), 401)
    assert problem_in(
        await ask(guarded, "POST /tasks", JSON, f"Authorization: Bearer {TOKENS['read']}", body=body), 403
    )
    assert (await guarded.client.get("/tasks", headers=bearer(TOKENS["read"]))).json() == []


async def test_statistics_are_for_those_who_may_read(guarded: Served) -> None:
    strangers = await guarded.client.get("/readyz")
    readers = await guarded.client.get("/readyz", headers=bearer(TOKENS["read"]))

    assert strangers.json() == {"status": "ready"}
    assert readers.json()["statistics"]["phase"] == "serving"
    assert (await guarded.client.get("/readyz", headers=bearer(UNKNOWN_TOKEN))).json() == {"status": "ready"}

    guarded.executor.drain()
    assert "statistics" not in problem_in(await guarded.client.get("/readyz"), 503)
    assert "statistics" in problem_in(await guarded.client.get("/readyz", headers=bearer(TOKENS["read"])), 503)


# Failed attempts


async def test_who_fails_too_often_has_to_wait_and_locks_nobody_out(guarded: Served) -> None:
    for _ in range(login_throttle.TRIES_MAX):
        assert problem_in(await guarded.client.get("/tasks", headers=bearer(UNKNOWN_TOKEN)), 401)

    reply = await guarded.client.get("/tasks", headers=bearer(UNKNOWN_TOKEN))
    assert problem_in(reply, 429)
    assert retry_after_in(reply) <= login_throttle.SECONDS_PER_TRY
    assert problem_in(await guarded.client.post("/session", json={"token": UNKNOWN_TOKEN}), 429)

    assert (await guarded.client.get("/tasks", headers=bearer(TOKENS["read"]))).status_code == 200
    assert (await guarded.client.get("/livez", headers=bearer(UNKNOWN_TOKEN))).status_code == 200
    assert problem_in(await guarded.client.get("/tasks"), 401)


async def test_failing_fills_the_log_no_faster_than_that(guarded: Served, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(login_throttle.TRIES_MAX * 2):
        await guarded.client.get("/tasks", headers=bearer(UNKNOWN_TOKEN))

    log = capsys.readouterr().out
    assert log.count("refused a token") == login_throttle.TRIES_MAX
    assert UNKNOWN_TOKEN not in log


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_tries_come_back_with_time() -> None:
    clock = Clock()
    failures = login_throttle.FailedAttempts(clock)

    assert [failures.count("192.0.2.1") for _ in range(login_throttle.TRIES_MAX + 2)] == [
        0
    ] * login_throttle.TRIES_MAX + [6, 6]
    assert failures.count("192.0.2.2") == 0
    clock.seconds += 5
    assert failures.count("192.0.2.1") == 1
    clock.seconds += 1
    assert [failures.count("192.0.2.1") for _ in range(2)] == [0, 6]
    clock.seconds += 1_000_000
    assert [failures.count("192.0.2.1") for _ in range(login_throttle.TRIES_MAX + 1)] == [
        0
    ] * login_throttle.TRIES_MAX + [6]


def test_an_ipv6_network_is_one_peer_and_an_ipv4_address_is_one_however_it_is_written() -> None:
    failures = login_throttle.FailedAttempts(Clock())

    for number in range(login_throttle.TRIES_MAX):
        assert failures.count(f"2001:db8:1:2::{number:x}") == 0
        assert failures.count("192.0.2.1" if number % 2 else "::ffff:192.0.2.1") == 0
    assert failures.count("2001:db8:1:2:ffff::") > 0
    assert failures.count("2001:db8:1:3::") == 0
    assert failures.count("::ffff:192.0.2.1") > 0


def test_so_many_peers_are_remembered_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login_throttle, "PEERS_MAX", 3)
    failures = login_throttle.FailedAttempts(Clock())
    for _ in range(login_throttle.TRIES_MAX):
        failures.count("worst")

    for number in range(3):
        failures.count(f"other-{number}")
        failures.count("worst")

    assert len(failures) == 3
    assert failures.count("worst") > 0


# Settings


@pytest.mark.parametrize(
    ("tokens", "complaint"),
    [
        ({"a": {"scope": "read"}}, "tokens.a: .*sha256"),
        ({"a": {"sha256": "0" * 64}}, "tokens.a: .*scope"),
        ({"a": {"sha256": "0" * 64, "scope": "root"}}, "tokens.a.scope: .* the values are: read, submit, admin$"),
        ({"a": {"sha256": "0" * 63, "scope": "read"}}, "tokens.a.sha256: "),
        ({"a": {"sha256": "0" * 64 + "\n", "scope": "read"}}, "tokens.a.sha256: "),
        ({"a": {"sha256": TOKENS["read"], "scope": "read"}}, "tokens.a.sha256: "),
        ({"a": {"sha256": "0" * 64, "scope": "read", "expires": 1}}, r"unknown key `expires` in \[tokens.a\]"),
        ({"": {"sha256": "0" * 64, "scope": "read"}}, "invalid token name"),
        ({"a b": {"sha256": "0" * 64, "scope": "read"}}, "invalid token name"),
        ({"anonymous": {"sha256": "0" * 64, "scope": "read"}}, "invalid token name"),
        ({TOKENS["read"]: {"sha256": "0" * 64, "scope": "read"}}, "name of a token"),
        ({name: {"sha256": "0" * 64, "scope": "read"} for name in "ab"}, "tokens.b has the sha256 of tokens.a"),
    ],
)
def test_a_table_of_a_token_that_cannot_be_used_is_named(tokens: dict[str, dict[str, str]], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as refused:
        create_app(Executor(LocalStore()), Config(tokens=tokens))

    assert "pex_" not in str(refused.value)


def test_tokens_and_nobody_needing_one_contradict_each_other() -> None:
    with pytest.raises(ConfigError, match="contradict"):
        create_app(Executor(LocalStore()), Config(tokens=TABLES, allow_anonymous=True))
