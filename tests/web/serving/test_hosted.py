"""The app under Hypercorn's command line: Hypercorn's settings and HTTP/2 work; connections behave as with our servers.

Other tests of connections run with every launch, in the modules for their subjects.
"""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest
import trio

from ..conftest import HOSTED, Served, ServeHere
from ..raw import JSON, connected, request
from .hosted import HostedServer
from .test_tls import certificate, tls_connected

__all__ = ["certificate"]

pytestmark = pytest.mark.parametrize("server", [HOSTED], indirect=True)

LIVEZ = request("GET /livez")


def configure(served: Served, **settings: float) -> None:
    """Change settings of Hypercorn."""
    assert isinstance(served.http, HostedServer)
    for name, value in settings.items():
        setattr(served.http.hypercorn, name, value)


async def test_http_2_is_spoken_when_the_handshake_agrees_on_it(serve_here: ServeHere, certificate: Path) -> None:
    served = await serve_here(tls_certfile=str(certificate))
    async with httpx2.AsyncClient(base_url=served.url, http2=True, verify=False) as client:
        reply = await client.post("/tasks", json={"name": "a", "delay": 60000})
        assert (reply.http_version, reply.status_code) == ("HTTP/2", 202)
        assert (await client.get(f"/tasks/{reply.json()['id']}?wait=0.1")).status_code == 200


@pytest.mark.parametrize("offered", [(), ("http/1.1",), ("http/1.1", "h2")])
async def test_http_1_is_spoken_otherwise(serve_here: ServeHere, certificate: Path, offered: tuple[str, ...]) -> None:
    served = await serve_here(tls_certfile=str(certificate))
    if "h2" in offered:
        served.http.hypercorn.alpn_protocols = ["http/1.1"]  # type: ignore[union-attr]
    async with tls_connected(served.port, alpn=offered) as (client, _):
        await client.send(b"\r\n" + LIVEZ)
        assert (await client.stream.receive_some(1000)).startswith(b"HTTP/1.1 200 OK\r\n")


async def test_a_handshake_has_the_time_that_hypercorn_gives_it(serve_here: ServeHere, certificate: Path) -> None:
    served = await serve_here(tls_certfile=str(certificate))
    configure(served, ssl_handshake_timeout=0.2)
    async with connected(served.port) as silent, connected(served.port) as plain:
        await plain.send(LIVEZ)
        assert await silent.ended_within(2)
        assert await plain.ended_within(2)


async def test_a_read_has_the_time_that_hypercorn_gives_it(served: Served) -> None:
    configure(served, read_timeout=0.2)
    async with connected(served.port) as client:
        assert (await client.ask(LIVEZ)).status_code == 200
        await client.send(request("POST /tasks", JSON, "Content-Length: 9"))
        assert await client.ended_within(2)


async def test_a_connection_has_as_many_requests_as_hypercorn_allows(served: Served) -> None:
    configure(served, keep_alive_max_requests=3)
    async with connected(served.port) as client:
        replies = [await client.ask(LIVEZ) for _ in range(3)]
        assert ["connection" in reply.headers for reply in replies] == [False, False, True]
        assert await client.ended_within(1)


async def test_an_exception_ends_its_connection_only(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("pexecutor.web.serving.hypercorn.h11.Connection.receive_data", None)
        async with connected(served.port) as client:
            await client.send(LIVEZ)
            assert await client.ended_within(1)
    async with connected(served.port) as client:
        assert (await client.ask(LIVEZ)).status_code == 200


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_hypercorn_has_its_own_class_back_in_the_end(serve_here: ServeHere, order: tuple[int, int]) -> None:
    apps = [await serve_here(), await serve_here()]
    for number in order:
        apps[number].http.stop()
        with trio.fail_after(5):
            await apps[number].http_ended.wait()
    module = __import__("hypercorn.trio.run", fromlist=["TCPServer"])
    assert module.TCPServer.__module__ == "hypercorn.trio.tcp_server"
