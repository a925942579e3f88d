"""HTTPS on the server's own sockets, with a certificate made by the test."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trustme

from pexecutor.errors import ConfigError
from pexecutor.web.serving import listener, tls

from ..conftest import Served, ServeHere
from ..raw import JSON, RawClient, connected, request
from ..replies import problem_in
from ..tokens import TABLES, TOKENS

LIVEZ = request("GET /livez")
AUTHORITY = trustme.CA()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A PEM file with a certificate for the loopback and its key."""
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    AUTHORITY.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(file))
    return file


@pytest.fixture
async def secured(serve_here: ServeHere, certificate: Path) -> Served:
    """A server with TLS."""
    return await serve_here(tls_certfile=str(certificate), tokens=TABLES)


@asynccontextmanager
async def tls_connected(
    port: int, *, alpn: tuple[str, ...] = (), host: str = "localhost"
) -> AsyncIterator[tuple[RawClient, trio.SSLStream[trio.SocketStream]]]:
    """Connect with TLS, trusting only the test's authority; yield the client and its stream after the handshake."""
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    if alpn:
        context.set_alpn_protocols(alpn)
    stream = trio.SSLStream(
        await trio.open_tcp_stream("127.0.0.1", port), context, server_hostname=host, https_compatible=True
    )
    async with stream:
        await stream.do_handshake()
        yield RawClient(stream), stream


async def test_requests_are_answered_on_one_connection(secured: Served) -> None:
    shown = f"Authorization: Bearer {TOKENS['submit']}"
    async with tls_connected(secured.port) as (client, _):
        assert (await client.ask(LIVEZ)).status_code == 200
        assert (await client.ask(request("POST /tasks", JSON, shown, body=b'{"name": "a"}'))).status_code == 202
        assert problem_in(await client.ask(request("GET /tasks")), 401)


async def test_a_reply_of_many_records_and_a_body_of_many_bytes_pass(secured: Served) -> None:
    shown = f"Authorization: Bearer {TOKENS['submit']}"
    body = b"[%b]" % b",".join(b'{"name": "%0200d", "delay": 60000}' % number for number in range(1000))
    async with tls_connected(secured.port) as (client, _):
        assert (await client.ask(request("POST /tasks", JSON, shown, body=body))).status_code == 200
        assert len((await client.ask(request("GET /tasks", shown))).json()) == 1000


async def test_the_url_says_so(secured: Served) -> None:
    assert secured.url.startswith("https://127.0.0.1:")


async def test_http_1_1_is_what_is_agreed_on(secured: Served) -> None:
    async with tls_connected(secured.port, alpn=("h2", "http/1.1")) as (client, stream):
        assert stream.selected_alpn_protocol() == "http/1.1"
        assert (await client.ask(LIVEZ)).status_code == 200


async def test_the_session_cookie_is_for_tls_alone(secured: Served) -> None:
    body = f'{{"token": "{TOKENS["read"]}"}}'.encode()
    async with tls_connected(secured.port) as (client, _):
        reply = await client.ask(request("POST /session", JSON, body=body))

    assert "Secure" in reply.headers["set-cookie"].split("; ")


async def test_a_plain_page_of_the_same_host_is_another_site(secured: Served) -> None:
    async with tls_connected(secured.port) as (client, _):
        assert problem_in(await client.ask(request("DELETE /session", "Origin: http://localhost")), 403)
        assert (await client.ask(request("DELETE /session", "Origin: https://localhost"))).status_code == 204


async def test_what_is_no_http_is_answered(secured: Served) -> None:
    async with tls_connected(secured.port) as (client, _):
        assert problem_in(await client.ask(b"hello\r\n\r\n"), 400)


async def test_a_client_that_does_not_shake_hands_is_given_up_and_holds_up_nobody(
    secured: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "HANDSHAKE_SECONDS_MAX", 0.3)
    async with connected(secured.port) as silent, connected(secured.port) as plain:
        await plain.send(LIVEZ)
        async with tls_connected(secured.port) as (client, _):
            assert (await client.ask(LIVEZ)).status_code == 200
        assert await plain.ended_within(1)
        assert await silent.ended_within(1)


async def test_the_stop_ends_connections_and_handshakes_promptly(
    secured: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "STOP_SECONDS_MAX", 60)
    async with connected(secured.port) as silent, tls_connected(secured.port) as (client, _):
        await client.ask(LIVEZ)

        secured.http.stop()

        assert await silent.ended_within(1)
        assert await client.ended_within(1)
        with trio.fail_after(1):
            await secured.http_ended.wait()


async def test_the_stop_ends_a_client_that_never_reads(secured: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "STOP_SECONDS_MAX", 0.3)
    shown = f"Authorization: Bearer {TOKENS['submit']}"
    body = b"[%b]" % b",".join(b'{"name": "%0200d", "delay": 60000}' % number for number in range(1000))
    async with tls_connected(secured.port) as (client, _):
        await client.ask(request("POST /tasks", JSON, shown, body=body))
        await client.send(request("GET /tasks", shown) * 100)  # the replies have about 40 MB
        await trio.sleep(0.3)

        secured.http.stop()
        with trio.move_on_after(0.2):
            await secured.http_ended.wait()
        assert not secured.http_ended.is_set()
        with trio.fail_after(2):
            await secured.http_ended.wait()


async def test_a_client_that_goes_frees_its_place(serve_here: ServeHere, certificate: Path) -> None:
    served = await serve_here(tls_certfile=str(certificate), connections_max=1)

    for _ in range(3):
        async with tls_connected(served.port) as (client, _):
            assert (await client.ask(LIVEZ)).status_code == 200


def test_a_key_may_be_in_a_file_of_its_own(tmp_path: Path) -> None:
    made = AUTHORITY.issue_cert("localhost")
    made.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    made.cert_chain_pems[0].write_to_path(str(tmp_path / "certificate.pem"))

    assert tls.tls_context(str(tmp_path / "certificate.pem"), str(tmp_path / "key.pem")) is not None


@pytest.mark.parametrize(
    ("certfile", "keyfile", "complaint"),
    [
        ("certificate.pem", None, "cannot use"),
        ("certificate.pem", "other.pem", "cannot use"),
        ("nonsense.pem", None, "cannot use"),
        ("none.pem", None, "cannot read"),
        ("certificate.pem", "none.pem", "cannot read"),
        (None, "other.pem", "tls_certfile"),
    ],
)
def test_files_that_cannot_be_used_are_a_usage_error(
    tmp_path: Path, certfile: str | None, keyfile: str | None, complaint: str
) -> None:
    AUTHORITY.issue_cert("localhost").cert_chain_pems[0].write_to_path(str(tmp_path / "certificate.pem"))
    AUTHORITY.issue_cert("localhost").private_key_pem.write_to_path(str(tmp_path / "other.pem"))
    (tmp_path / "nonsense.pem").write_text("nonsense")

    with pytest.raises(ConfigError, match=complaint):
        tls.tls_context(*(None if name is None else str(tmp_path / name) for name in (certfile, keyfile)))
