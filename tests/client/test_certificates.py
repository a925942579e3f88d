"""The certificate of a server on this machine, whose authority is not one of the system's."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trustme

from pexecutor import AsyncClient, ConfigError, UnreachableError

from .drivers import Run


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def url(authority: trustme.CA) -> Iterator[str]:
    """The URL of a server that answers each request with an empty list, over TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)

    def answer(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                accepted, _ = listener.accept()
                with suppress(ssl.SSLError), context.wrap_socket(accepted, server_side=True) as connection:
                    connection.recv(4096)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer, args=(listener,))
        thread.start()
        yield f"https://localhost:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


async def lists(client: AsyncClient) -> None:
    assert await client.handlers() == ()


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "ssl_context"])
def test_the_authority_that_the_caller_names_is_trusted(
    run: Run, url: str, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    if variable == "SSL_CERT_FILE":
        monkeypatch.setenv(variable, str(tmp_path / "ca.pem"))
    run(lists, url, ssl_context=context if variable == "ssl_context" else None, retry_seconds_max=0)


def test_the_error_of_a_certificate_names_the_next_step(run: Run, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)

    async def test(client: AsyncClient) -> None:
        with pytest.raises(UnreachableError, match=r"not accepted \(unable to get.*\): .* set SSL_CERT_FILE"):
            await client.handlers()

    run(test, url, retry_seconds_max=0)


def test_a_file_without_certificates_is_named(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(ConfigError, match=r"SSL_CERT_FILE names .*/none\.pem"):
        run(lists, "https://localhost:1")
