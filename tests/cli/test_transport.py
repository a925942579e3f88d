"""Tests of the client's transport: early refusals, and requests that it leaves to the usual transport."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import pytest

from pexecutor.client.documents import DocumentClient
from pexecutor.client.transport import DirectTransport
from pexecutor.errors import RefusedError, UnreachableError

REFUSAL = b"HTTP/1.1 413 Too Large\r\nContent-Type: application/problem+json\r\nContent-Length: 18\r\n\r\n"


@contextmanager
def answering(*replies: bytes) -> Iterator[str]:
    """A server that reads the head of each request, answers, and closes the connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            for reply in replies:
                connection, _ = listener.accept()
                with connection:
                    connection.recv(1024)
                    connection.sendall(reply)
                    connection.shutdown(socket.SHUT_WR)
                    while connection.recv(65536):
                        pass

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(5)


def test_a_refusal_before_the_end_of_the_body_is_read() -> None:
    body = b'{"detail":"large"}'
    with (
        answering(REFUSAL + body) as url,
        DocumentClient(url) as client,
        pytest.raises(RefusedError, match="large") as refused,
    ):
        client.submit({"name": "a", "params": {"text": "x" * 4_000_000}})
    assert refused.value.status == 413


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[", b"nonsense\r\n\r\n"])
def test_a_broken_reply_is_a_lost_connection(reply: bytes) -> None:
    with (
        answering(reply) as url,
        DocumentClient(url) as client,
        pytest.raises(UnreachableError, match="connection was lost"),
    ):
        client.handlers()


def test_a_silent_server_is_unreachable_after_the_time_limit() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with (
            DocumentClient(url, reply_seconds_max=0.05) as client,
            pytest.raises(UnreachableError, match="did not reply in time"),
        ):
            client.handlers()


@pytest.mark.parametrize(
    ("url", "variables", "is_direct"),
    [
        ("http://127.0.0.1:8080", {"http_proxy": "http://127.0.0.1:1"}, True),
        ("http://server.test", {}, True),
        ("http://server.test", {"http_proxy": "http://127.0.0.1:1"}, False),
        ("http://server.test", {"ALL_PROXY": "http://127.0.0.1:1"}, False),
        ("https://server.test", {}, False),
    ],
)
def test_tls_and_proxies_are_left_to_the_usual_transport(
    url: str, variables: dict[str, str], is_direct: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with DocumentClient(url) as client:
        assert isinstance(client._http._client._transport, DirectTransport) is is_direct


def test_the_headers_are_those_of_the_usual_transport() -> None:
    heads = []
    for transport in (DirectTransport(), httpx2.HTTPTransport()):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]

            def exchange(transport: httpx2.BaseTransport = transport, port: int = port) -> None:
                with httpx2.Client(transport=transport, headers={"X-Two": "a"}) as client:
                    client.get(f"http://127.0.0.1:{port}/a%20b?c=d")

            thread = threading.Thread(target=exchange)
            thread.start()
            connection, _ = listener.accept()
            with connection:
                heads.append(connection.recv(4096).replace(str(port).encode(), b"PORT"))
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                thread.join(5)
    assert heads[0] == heads[1]
