"""No value of a header or a query leads to a server error.

A table of values that have broken parsers goes over real sockets to both servers. Hypothesis generates more values and
sends them to the app directly.
"""

from __future__ import annotations

from typing import Any, Final

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pexecutor import Executor, LocalStore
from pexecutor.config import Config
from pexecutor.web import create_app

from ..conftest import Served, ServeHere
from ..raw import JSON, NDJSON, RawReply, connected, request
from ..replies import problem_in
from ..tokens import TABLES, TOKENS

DIGITS: Final = "9" * 5002
NUMBERS: Final = (
    *("", "0", "-1", "+1", "1.5", "1e9", "1e999", "-0", "nan", "inf", "-inf", "0x10", "1_0", " 1", "1,1"),
    *("9" * 19, "9" * 20, "9" * 400, DIGITS, "0" * 5002, f"0.{DIGITS}", f"1e{DIGITS}", "\xb2", "\xbd"),
)
ACCEPTS: Final = (
    *("*/*", "", ",", ";", ";;,;", "text/html", "text/plain;version", "text/plain;version=", "text/plain;version=x"),
    *("application/openmetrics-text", "application/openmetrics-text;version", "application/openmetrics-text;="),
    *(f"application/openmetrics-text;version={version}" for version in (*NUMBERS, "1.x", "x", "1..0", "1.0.0", ".")),
    *(f"text/plain;version={version};q={version}" for version in ("1.x", "1.0.0", "0.0.4", DIGITS)),
    *(f"application/openmetrics-text;version=1.0.0;escaping={way}" for way in ("x", "", "values", "allow-utf-8")),
)
VALUES: Final[dict[str, tuple[str, ...]]] = {
    "Accept": ACCEPTS,
    "Cookie": ("", ";", "=", "pexecutor_session", "pexecutor_session=", "pexecutor_session=\xff", "a=b;" * 100),
    "Authorization": (
        "",
        "Bearer",
        "Bearer ",
        "Bearer \xff",
        "Basic x",
        "Bearer a b",
        "bearer x=y",
        ",",
        "Digest \xff",
    ),
    "If-None-Match": ("", "*", "x", '"', '"x', 'W/"x"', "W/", ",", '"x","y', "\xff"),
    "If-Modified-Since": ("", "x", "Thu, 32 Foo 9999 99:99:99 GMT", DIGITS),
    "If-Range": ("", "x", '"x"'),
    "Range": ("", "x", "bytes", "bytes=", "bytes=-", "bytes=a-b", f"bytes=0-{DIGITS}", f"bytes={DIGITS}-", "bytes=9-1"),
    "Content-Type": (
        "",
        "x",
        "/",
        ";",
        "application/json;",
        "application/json;charset",
        'a/b;c="',
        "\xff",
        "a/b;c*=x'y'z",
    ),
    "Content-Encoding": ("", "x", ",", "gzip", "\xff"),
    "Last-Event-ID": (*NUMBERS, "\xb9"),
    "traceparent": ("", "x", "00-x", f"00-{'0' * 32}-{'0' * 16}-00", f"ff-{'1' * 32}-{'1' * 16}-01", DIGITS, "\xff"),
    "Origin": ("", "null", "x", "http://", "http://[", "http://x:y", f"http://x:{DIGITS}", "\xff"),
    "Sec-Fetch-Site": ("", "x", "\xff"),
    "X-Request-Id": ("", "\xff", "x" * 200),
    "X-Forwarded-For": ("", "x", "\xff", DIGITS),
    "X-Forwarded-Proto": ("", "x", "https"),
    "Forwarded": ("", "for=x", ";", "for=\xff"),
    "Expect": ("", "x", "100-continue", "\xff"),
    "Connection": ("", ",", "x", "keep-alive, close"),
    "Keep-Alive": ("", "x", f"timeout={DIGITS}"),
    "Accept-Encoding": ("", "x", f"gzip;q={DIGITS}"),
    "Accept-Language": ("", "x;q=y", f"x;q={DIGITS}"),
    "Date": ("", "x"),
    "TE": ("", "trailers", f"x;q={DIGITS}"),
    "User-Agent": ("", "\xff"),
}

TARGETS: Final = (
    "/",
    "/ui/static/0/app/main.js",
    "/metrics",
    "/tasks",
    "/tasks/000000-1",
    "/livez",
    "/session",
    "/docs",
)
QUERIES: Final = (
    *("/tasks?limit={}", "/tasks?cursor={}", "/tasks?state={}", "/tasks?name={}", "/tasks/000000-1?wait={}"),
    *(
        "/tasks/pending?limit={}",
        "/tasks/finished?cursor={}",
        "/tasks/{}",
        "/tasks/000000-{}",
        "/statistics/history?hours={}",
    ),
)


async def ask_all(served: Served, requests: list[bytes]) -> list[RawReply]:
    """Send each request on its own connection."""
    replies = []
    for data in requests:
        async with connected(served.port) as client:
            replies.append(await client.ask(data))
    return replies


@pytest.mark.parametrize("header", VALUES)
async def test_a_header_never_breaks_the_server(serve_here: ServeHere, header: str) -> None:
    served = await serve_here(tokens=TABLES if header in ("Authorization", "Cookie") else {})
    requests = [request(f"GET {target}", f"{header}: {value}") for value in VALUES[header] for target in TARGETS[:4]]
    requests += [request("POST /tasks", f"{header}: {value}", body=b"[]") for value in VALUES[header]]
    requests += [request("POST /tasks", JSON, f"{header}: {value}", body=b"[]") for value in VALUES[header]]
    replies = await ask_all(served, requests)

    assert {reply.status_code for reply in replies if reply.status_code not in (501, 100)} <= set(range(200, 500))


async def test_a_number_in_a_query_never_breaks_the_server(served: Served) -> None:
    targets = [
        target.format("".join(f"%{byte:02X}" for byte in number.encode("latin1")) if not number.isalnum() else number)
        for target in QUERIES
        for number in NUMBERS
        if number
    ]
    replies = await ask_all(served, [request(f"GET {target}") for target in targets])
    assert {reply.status_code for reply in replies} <= {200, 400, 404}


@pytest.mark.parametrize(
    "field", ["duration", "priority", "delay", "timeout", "retries", "retry_delay", "keep", "params"]
)
@pytest.mark.parametrize("kind", [JSON, NDJSON])
async def test_a_number_in_a_task_never_breaks_the_server(served: Served, field: str, kind: str) -> None:
    for number in (*("9" * 19, "9" * 20, DIGITS, f"-{DIGITS}", f"0.{DIGITS}", "1e400", f"1e{DIGITS}", "-0"),):
        value = f'{{"x": {number}, "y": "\\u0041"}}' if field == "params" else number
        body = f'{{"name": "a", "{field}": {value}}}'.encode()
        [one] = await ask_all(served, [request("POST /tasks", kind, body=body)])
        assert one.status_code in (200, 202, 400, 409), (number, one.content)
        [listed] = await ask_all(served, [request("GET /tasks")])
        assert listed.status_code == 200


@pytest.mark.parametrize(
    "length", [DIGITS, "0" * 5002, "0" * 5000 + "15", "9" * 21, "9" * 30, "-1", "+1", "1.0", "0x1", ""]
)
async def test_a_length_that_is_none_is_refused(served: Served, length: str) -> None:
    for path in ("/tasks", "/session", "/drain", "/none"):
        for method in ("POST", "GET", "PATCH"):
            [reply] = await ask_all(served, [request(f"{method} {path}", JSON, f"Content-Length: {length}")])
            assert problem_in(reply, 400), (method, path)


async def test_only_clients_of_http_1_1_are_told_to_go_on(served: Served) -> None:
    for headers in ("Expect: 100-continue", "Expect: 100-Continue\r\nConnection: keep-alive"):
        for kind, status in ((JSON, 202), ("Content-Type: text/plain", 415)):
            body = b'{"name": "%d"}' % len(headers)
            head = f"POST /tasks HTTP/1.0\r\n{kind}\r\n{headers}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            async with connected(served.port) as client:
                await client.send(head)
                await trio.sleep(0.02)
                reply = await client.ask(body)
            assert reply.status_code == status


# Values generated by Hypothesis

APP: Final = create_app(Executor(LocalStore()), Config())
GUARDED: Final = create_app(Executor(LocalStore()), Config(tokens=TABLES))

TEXTS: Final = st.one_of(
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=40),
    st.lists(
        st.sampled_from(
            [*"=;,\"'/*.- 019", "q", "version", "application/openmetrics-text", "text/plain", "bytes", "W/"]
        ),
        max_size=12,
    ).map("".join),
)
NAMES: Final = st.sampled_from([name.lower() for name in [*VALUES, "Host", "Content-Length", "Transfer-Encoding"]])


async def answer(app: Any, target: str, headers: list[tuple[bytes, bytes]]) -> int:
    """Return the status of the app's reply to a GET."""
    statuses: list[int] = []
    path, _, query = target.partition("?")
    scope: Any = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8080),
        "extensions": {},
    }
    end_of_body: Any = {"type": "http.request", "body": b"", "more_body": False}
    to_come, received = trio.open_memory_channel[Any](1)
    to_come.send_nowait(end_of_body)

    async def send(event: Any) -> None:
        if event["type"] == "http.response.start":
            statuses.append(event["status"])

    with trio.fail_after(5):
        await app(scope, received.receive, send)
    return statuses[0]


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(headers=st.dictionaries(NAMES, TEXTS, max_size=4), target=st.sampled_from(TARGETS), guarded=st.booleans())
def test_no_header_breaks_the_app(headers: dict[str, str], target: str, guarded: bool) -> None:
    sent = [(name.encode(), value.strip().encode("latin1")) for name, value in headers.items()]
    if "host" not in headers:
        sent.append((b"host", b"localhost"))
    if guarded and "authorization" not in headers:
        sent.append((b"authorization", f"Bearer {TOKENS['admin']}".encode()))
    assert trio.run(answer, GUARDED if guarded else APP, target, sent) in range(200, 500)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(target=st.sampled_from(QUERIES), value=st.text(st.sampled_from("0123456789.-+eE_naif&=%,;"), max_size=60))
def test_no_query_breaks_the_app(target: str, value: str) -> None:
    assert trio.run(answer, APP, target.format(value), [(b"host", b"localhost")]) in range(200, 500)
