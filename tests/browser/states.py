"""The states of the server and of the connection that the dashboard shows, each with the steps that lead there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from pexecutor.access import hash_token, new_token

from . import scenes
from .page import Page

Opened = Callable[[Page], None]
"""Opens the page and waits until it shows the state."""


@contextmanager
def with_token(scope: str) -> Iterator[tuple[str, str]]:
    """Start a server with one token of a scope, of `ana`; yield its URL and the token."""
    token = new_token()
    with TemporaryDirectory() as folder:
        settings = Path(folder, "settings.toml")
        settings.write_text(f'[tokens.ana]\nsha256 = "{hash_token(token)}"\nscope = "{scope}"\n')
        server = scenes.start("--config", str(settings))
        yield server.url, token
        server.close()


@contextmanager
def signed_out() -> Iterator[Opened]:
    """Nobody is signed in."""

    def opened(page: Page) -> None:
        page.open(url, until="")
        page.shows(".full-page__title", "Sign in")

    with with_token("admin") as (url, _):
        yield opened


@contextmanager
def wrong_token() -> Iterator[Opened]:
    """Somebody has tried to sign in with an unknown token."""

    def opened(page: Page) -> None:
        page.open(url, until="")
        page.fill("Token", "wrong")
        page.press("Sign in")
        page.shows(".problem", "Unknown token.")

    with with_token("admin") as (url, _):
        yield opened


@contextmanager
def reader() -> Iterator[Opened]:
    """Somebody is signed in who may only read."""

    def opened(page: Page) -> None:
        page.open(f"{url}/ui/tasks", until="")
        page.fill("Token", token)
        page.press("Sign in")
        page.shows("h1", "Tasks")
        page.shows(".empty", "No tasks yet")

    with with_token("read") as (url, token):
        yield opened


@contextmanager
def draining() -> Iterator[Opened]:
    """The server drains."""

    def opened(page: Page) -> None:
        page.open(server.url)
        server.client.post("/drain")
        page.shows(".banner", "draining")

    server = scenes.start()
    scenes.submit(server, [{"name": "encode/trailer-4k.mov", "duration": 600_000}])
    yield opened
    server.close()


@contextmanager
def paused() -> Iterator[Opened]:
    """Everything is paused."""

    def opened(page: Page) -> None:
        server.client.post("/pause").raise_for_status()
        page.open(server.url)
        page.shows(".banner", "Everything is paused.")

    server = scenes.start()
    scenes.submit(server, [{"name": "encode/trailer-4k.mov", "duration": 600_000}])
    yield opened
    server.close()


@contextmanager
def connection_lost() -> Iterator[Opened]:
    """The server has ended without a word."""

    def opened(page: Page) -> None:
        page.open(server.url)
        page.shows(".table", "encode/trailer-4k.mov")
        server.kill()
        page.shows(".banner", "Connection lost.")

    server = scenes.start()
    scenes.submit(server, [{"name": "encode/trailer-4k.mov", "duration": 600_000}])
    yield opened
    server.close()


@contextmanager
def too_many_streams() -> Iterator[Opened]:
    """The server has no event stream left."""

    def opened(page: Page) -> None:
        with server.client.stream("GET", "/events"):
            page.open(server.url, until="Without events")
            page.shows(".banner", "No live events.")

    with TemporaryDirectory() as folder:
        settings = Path(folder, "settings.toml")
        settings.write_text("event_streams_max = 1\n")
        server = scenes.start("--config", str(settings))
        yield opened
        server.close()


@contextmanager
def forbidden() -> Iterator[Opened]:
    """The server refuses everything, as it does without tokens to callers from elsewhere."""

    def opened(page: Page) -> None:
        detail = "no token is configured, so only requests over the loopback address are allowed"
        with page.running_first(
            f"""window.fetch = async () => new Response(JSON.stringify({{ status: 403, detail: "{detail}" }}),
                {{ status: 403, headers: {{ "Content-Type": "application/problem+json" }} }})"""
        ):
            page.open(server.url, until="")
            page.shows(".full-page__title", "Not allowed")

    server = scenes.start()
    yield opened
    server.close()


@contextmanager
def store_trouble() -> Iterator[Opened]:
    """The store cannot be written."""

    def opened(page: Page) -> None:
        with page.running_first(
            """const real = window.fetch;
            window.fetch = async (url, options) => {
                const reply = await real(url, options);
                if (!String(url).endsWith("readyz")) return reply;
                const { statistics } = await reply.json();
                const problem = { status: 503, detail: "No space left on device since 14:25:40", statistics };
                const headers = { "Content-Type": "application/problem+json" };
                return new Response(JSON.stringify(problem), { status: 503, headers });
            }"""
        ):
            page.open(server.url)
            page.shows(".banner", "The store cannot be written.")

    server = scenes.start()
    yield opened
    server.close()


@contextmanager
def another_version() -> Iterator[Opened]:
    """The server has been updated since the page was loaded."""

    def opened(page: Page) -> None:
        with page.running_first(
            """const real = window.fetch;
            window.fetch = async (url, options) =>
                String(url).endsWith("/ui") ? new Response('data-version="another"') : real(url, options)"""
        ):
            page.open(server.url)
            page.offline(True)
            page.shows(".banner", "Connection lost.")
            page.offline(False)
            page.shows(".banner", "The server has been updated.")

    server = scenes.start()
    yield opened
    server.close()


STATES: Final[dict[str, Callable[[], AbstractContextManager[Opened]]]] = {
    "state-signed-out": signed_out,
    "state-wrong-token": wrong_token,
    "state-reader": reader,
    "state-draining": draining,
    "state-paused": paused,
    "state-connection-lost": connection_lost,
    "state-too-many-streams": too_many_streams,
    "state-forbidden": forbidden,
    "state-store-trouble": store_trouble,
    "state-another-version": another_version,
}
"""The states, by name."""
