"""Which URLs and tokens the client takes, and how it reaches a server at a path or behind a Unix socket."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pexecutor import AsyncClient, Client, ConfigError
from pexecutor.client.address import DEFAULT_URL, address_of, token_of

from ..server.process import ServerProcess
from .drivers import Run
from .standins import Scripted, scripted


@pytest.mark.parametrize(
    ("url", "base", "socket_path"),
    [
        ("http://host", "http://host", None),
        ("http://host:8080/px/", "http://host:8080/px", None),
        ("https://host/a/b", "https://host/a/b", None),
        ("http://[::1]:8080", "http://[::1]:8080", None),
        ("unix:///run/pexecutor.sock", "http://localhost", "/run/pexecutor.sock"),
        ("unix:///run/a%20b.sock", "http://localhost", "/run/a b.sock"),
    ],
)
def test_valid_urls(url: str, base: str, socket_path: str | None) -> None:
    address = address_of(url, {})

    assert (str(address.base), address.socket_path) == (base, socket_path)


@pytest.mark.parametrize(
    "url",
    [
        *("host:8080", "ftp://host", "http://", "http://host:port", "http://host/?a=b", "http://host/#a", "//host"),
        *("unix://run/pexecutor.sock", "unix:///", "unix://", "unix:///a?b", "unix:///a%00b", "unix:/run/a"),
    ],
)
def test_invalid_urls(url: str) -> None:
    with pytest.raises(ConfigError, match="is not"):
        Client(url)
    with pytest.raises(ConfigError, match="is not"):
        AsyncClient(url)


@given(st.text(min_size=1))
def test_a_token_is_sent_as_it_is_or_refused(token: str) -> None:
    if token.isascii() and token.isprintable() and " " not in token:
        assert token_of(token, {}) == token
    else:
        with pytest.raises(ConfigError) as refused:
            token_of(token, {})
        assert str(refused.value) == "the token contains invalid characters"


@given(st.text(max_size=20))
def test_any_url_is_taken_or_refused(url: str) -> None:
    for given_url in (url, f"http://{url}", f"unix:///{url}"):
        with suppress(ConfigError):
            assert address_of(given_url, {}).base.scheme in ("http", "https")


def test_the_variables_are_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    assert address_of(None, {}).shown == DEFAULT_URL
    assert address_of("http://a", {"PEXECUTOR_URL": "http://b"}).shown == "http://a"
    assert (token_of(None, {}), token_of(None, {"PEXECUTOR_TOKEN": "t"})) == (None, "t")
    assert (token_of("", {"PEXECUTOR_TOKEN": "t"}), token_of("u", {"PEXECUTOR_TOKEN": "t"})) == (None, "u")
    with scripted(Scripted(200, [])) as (url, seen):
        monkeypatch.setenv("PEXECUTOR_URL", f"{url}/px/")
        monkeypatch.setenv("PEXECUTOR_TOKEN", "of-the-variable")
        with Client() as client:
            client.handlers()
    assert seen[0].path == "/px/handlers"
    assert seen[0].headers["Authorization"] == "Bearer of-the-variable"


def test_the_path_of_the_url_is_kept_on_all_pages(run: Run) -> None:
    link = {"Link": '</tasks?cursor=a%2Bb&limit=1000>; rel="next"'}

    async def test(client: AsyncClient) -> None:
        assert [record async for record in client.list(tags=["a", "b"])] == []

    with scripted(Scripted(200, [], link), Scripted(200, [])) as (url, seen):
        run(test, f"{url}/px")
    assert [request.path for request in seen] == [
        "/px/tasks?tag=a&tag=b&limit=1000",
        "/px/tasks?cursor=a%2Bb&limit=1000",
    ]


@contextmanager
def unix_proxy(url: str, path: Path) -> Iterator[str]:
    """Listen on a Unix socket, and pass its connections on to a server; yield the URL."""
    target = urlsplit(url)

    def copy(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def accept() -> None:
        with suppress(OSError):
            while True:
                ours, _ = listener.accept()
                theirs = socket.create_connection((target.hostname or "", target.port or 0))
                for pair in ((ours, theirs), (theirs, ours)):
                    threading.Thread(target=copy, args=pair, daemon=True).start()
                opened.extend((ours, theirs))

    opened: list[socket.socket] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"unix://{quote(str(path))}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(20)
            for each in opened:
                each.close()


def test_a_server_behind_a_unix_socket(run: Run, server: ServerProcess, tmp_path: Path, name: str) -> None:
    async def test(client: AsyncClient) -> None:
        handle = await client.submit(name, "adds", params={"left": 2, "right": 3})
        assert await handle.result(20) == 5

    with unix_proxy(server.url, tmp_path / "a socket") as url:
        run(test, url)
