"""Sessions of browsers: how they begin, the rights of their cookie, and how they end."""

from __future__ import annotations

import re

import httpx2
import pytest
from trio.testing import MockClock

from pexecutor.access import Identity
from pexecutor.web.access import session_store

from ..conftest import Served, ServeHere
from ..raw import JSON, RawReply, connected, request
from ..replies import problem_in
from ..tokens import TABLES, TOKENS, UNKNOWN_TOKEN, bearer

OWN = "Origin: http://localhost"


@pytest.fixture
async def guarded(serve_here: ServeHere) -> Served:
    """A server with three tokens."""
    return await serve_here(tokens=TABLES)


async def sign_in(served: Served, token: str = TOKENS["submit"], **headers: str) -> httpx2.Response:
    """Sign in as a new browser. The client does not keep its cookies."""
    reply = await served.client.post("/session", json={"token": token}, headers=headers)
    served.client.cookies.clear()
    return reply


async def cookie_of(served: Served, token: str = TOKENS["submit"]) -> str:
    """Return the Cookie header of a signed-in browser."""
    reply = await sign_in(served, token)
    assert reply.status_code == 204
    return "Cookie: " + reply.headers["set-cookie"].partition(";")[0]


async def ask(served: Served, line: str, *headers: str, body: bytes | None = None) -> RawReply:
    async with connected(served.port) as client:
        return await client.ask(request(line, *headers, body=body))


async def test_signing_in_gives_a_cookie_that_is_kept_from_scripts_and_other_sites(guarded: Served) -> None:
    reply = await sign_in(guarded)

    name_and_value, *attributes = reply.headers["set-cookie"].split("; ")
    assert (reply.status_code, reply.content) == (204, b"")
    assert re.fullmatch(r"pexecutor_session=[A-Za-z0-9_-]{43}", name_and_value)
    assert {attribute for attribute in attributes if not attribute.startswith("Expires=")} == {
        "HttpOnly",
        "SameSite=Strict",
        "Path=/",
        f"Max-Age={session_store.SESSION_SECONDS_MAX}",
    }
    assert TOKENS["submit"] not in reply.headers["set-cookie"]
    assert "content-length" not in reply.headers


async def test_the_cookie_is_for_tls_alone_when_the_browser_speaks_it_to_a_proxy(serve_here: ServeHere) -> None:
    served = await serve_here(tokens=TABLES, allowed_hosts=("tasks.example.org",))

    reply = await sign_in(served, Origin="https://tasks.example.org")

    assert "Secure" in reply.headers["set-cookie"].split("; ")


async def test_a_session_may_do_what_its_token_may(guarded: Served) -> None:
    cookie = await cookie_of(guarded)

    assert (await ask(guarded, "GET /session", cookie)).json() == {"name": "submit-only", "scope": "submit"}
    assert (await ask(guarded, "GET /tasks", cookie)).status_code == 200
    assert (await ask(guarded, "POST /tasks", JSON, OWN, cookie, body=b'{"name": "a"}')).status_code == 202
    assert problem_in(await ask(guarded, "POST /drain", OWN, cookie), 403)


@pytest.mark.parametrize("line", ["POST /tasks", "DELETE /tasks/x", "POST /drain", "DELETE /session", "POST /session"])
@pytest.mark.parametrize("says", [[], ["Sec-Fetch-Site: none"], ["Referer: http://localhost/"]])
async def test_a_cookie_changes_nothing_unless_one_of_our_pages_asks(
    guarded: Served, line: str, says: list[str]
) -> None:
    cookie = await cookie_of(guarded, TOKENS["admin"])

    assert problem_in(await ask(guarded, line, JSON, cookie, *says, body=b'{"name": "a"}'), 403)
    assert not guarded.executor.draining.is_set()
    assert (await ask(guarded, "GET /tasks", cookie)).json() == []


@pytest.mark.parametrize("says", [[OWN], ["Sec-Fetch-Site: same-origin"]])
async def test_a_cookie_does_when_one_of_our_pages_asks(guarded: Served, says: list[str]) -> None:
    cookie = await cookie_of(guarded)

    assert (await ask(guarded, "POST /tasks", JSON, cookie, *says, body=b'{"name": "a"}')).status_code == 202


async def test_a_token_that_is_shown_goes_before_a_cookie(guarded: Served) -> None:
    cookie = await cookie_of(guarded, TOKENS["admin"])

    assert problem_in(await ask(guarded, "POST /drain", cookie, f"Authorization: Bearer {TOKENS['read']}"), 403)
    assert problem_in(await ask(guarded, "GET /tasks", cookie, f"Authorization: Bearer {UNKNOWN_TOKEN}"), 401)


async def test_signing_out_ends_the_session(guarded: Served) -> None:
    cookie, other = await cookie_of(guarded), await cookie_of(guarded)

    reply = await ask(guarded, "DELETE /session", OWN, cookie)

    assert (reply.status_code, reply.content) == (204, b"")
    assert "Max-Age=0" in reply.headers["set-cookie"]
    assert problem_in(await ask(guarded, "GET /tasks", cookie), 401)
    assert (await ask(guarded, "GET /tasks", other)).status_code == 200
    assert (await ask(guarded, "DELETE /session", OWN, cookie)).status_code == 204


async def test_signing_in_again_ends_the_session_before(guarded: Served) -> None:
    cookie = await cookie_of(guarded)
    body = f'{{"token": "{TOKENS["read"]}"}}'.encode()

    assert (await ask(guarded, "POST /session", JSON, OWN, cookie, body=body)).status_code == 204
    assert problem_in(await ask(guarded, "GET /tasks", cookie), 401)


@pytest.mark.parametrize(
    "cookie",
    ["pexecutor_session=", "pexecutor_session=x", f"pexecutor_session={TOKENS['admin']}", "pexecutor_session", ";;="],
)
async def test_a_cookie_that_is_none_of_ours_opens_nothing(guarded: Served, cookie: str) -> None:
    reply = await ask(guarded, "GET /tasks", f"Cookie: {cookie}")

    assert problem_in(reply, 401)
    assert reply.headers["www-authenticate"] == 'Bearer realm="pexecutor"'


async def test_of_two_sessions_in_one_request_neither_counts(guarded: Served) -> None:
    cookie = await cookie_of(guarded)

    assert problem_in(await ask(guarded, "GET /tasks", f"{cookie}; pexecutor_session=x"), 401)
    assert problem_in(await ask(guarded, "GET /tasks", cookie, "Cookie: pexecutor_session=x"), 401)
    assert (await ask(guarded, "GET /tasks", f"Cookie: x=pexecutor_session; {cookie[8:]};y=")).status_code == 200


@pytest.mark.parametrize("token", [UNKNOWN_TOKEN, "", "x", TOKENS["read"][:-1]])
async def test_a_wrong_token_signs_nobody_in(guarded: Served, token: str) -> None:
    reply = await sign_in(guarded, token)

    assert problem_in(reply, 401)
    assert "set-cookie" not in reply.headers


@pytest.mark.parametrize(
    ("header", "body", "status"),
    [
        (JSON, b"", 400),
        (JSON, b"{", 400),
        (JSON, b"[]", 400),
        (JSON, b'{"token": 1}', 400),
        (JSON, b'{"token": "x", "name": "y"}', 400),
        (JSON, b'{"tokn": "x"}', 400),
        (JSON, b"[" * 4000, 400),
        (JSON, b'{"token": "%s"}' % (b"x" * 5000), 413),
        ("Content-Type: text/plain", b'{"token": "x"}', 415),
        ("Content-Type: application/x-www-form-urlencoded", b"token=x", 415),
    ],
)
async def test_a_sign_in_that_is_none_is_refused(guarded: Served, header: str, body: bytes, status: int) -> None:
    assert problem_in(await ask(guarded, "POST /session", header, body=body), status)


async def test_where_no_token_is_configured_there_is_nothing_to_sign_in_to(served: Served) -> None:
    assert problem_in(await sign_in(served), 409)
    assert (await served.client.get("/session")).json() == {"name": "anonymous", "scope": "admin"}
    assert (await served.client.delete("/session")).status_code == 204


async def test_who_shows_a_token_is_told_who_that_is(guarded: Served) -> None:
    reply = await guarded.client.get("/session", headers=bearer(TOKENS["admin"]))

    assert reply.json() == {"name": "admin-only", "scope": "admin"}


async def test_a_session_ends_after_hours(autojump_clock: MockClock) -> None:
    kept = session_store.Sessions()
    session_id = kept.begin(Identity("ci", "read"))

    autojump_clock.jump(session_store.SESSION_SECONDS_MAX - 1)
    assert kept.find(session_id) == Identity("ci", "read")
    autojump_clock.jump(1)
    assert kept.find(session_id) is None


def test_the_oldest_session_of_a_token_ends_when_it_has_too_many() -> None:
    kept = session_store.Sessions(lambda: 0.0)
    reader, admin = Identity("reader", "read"), Identity("admin", "admin")

    theirs = kept.begin(admin)
    own = [kept.begin(reader) for _ in range(1001)]

    assert kept.find(theirs) == admin
    last = own[-session_store.SESSIONS_PER_TOKEN_MAX :]
    assert [session_id for session_id in own if kept.find(session_id) is not None] == last
    assert len(set(own)) == len(own)
