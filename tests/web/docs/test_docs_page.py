"""The documentation page: it is complete, describes this server, and consists of text and style only."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest

from pexecutor import Executor, LocalStore
from pexecutor.config import Config
from pexecutor.handlers import Catalogue
from pexecutor.handlers.sleep import Sleep
from pexecutor.web import create_app
from pexecutor.web.routes import ROUTES

from ..conftest import Served

PAGE_BYTES_MAX = 200_000
STYLE_BYTES_MAX = 5_000

WITHOUT_END = {"meta", "link", "br"}


class Page(HTMLParser):
    """The elements of a page. Parsing raises an error unless the page is well-formed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            self.attributes.add(name)
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "src"):
                self.links.append(value or "")
        if tag not in WITHOUT_END:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
async def page(served: Served) -> Page:
    reply = await served.client.get("/docs")
    assert (reply.status_code, reply.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert len(reply.content) < PAGE_BYTES_MAX
    return Page(reply.text)


async def test_it_may_do_nothing_but_show(served: Served, page: Page) -> None:
    for path in ("/docs", "/docs/style.css"):
        headers = (await served.client.get(path)).headers
        policy = dict(rule.split(None, 1) for rule in headers["content-security-policy"].split(";"))
        assert policy.pop("style-src") == "'self'"
        assert policy.pop("default-src") == "'none'"
        assert set(policy.values()) == {"'none'"}
        assert headers["x-content-type-options"] == "nosniff"
    assert page.attributes.isdisjoint({"style", "onclick", "onload"})
    assert {"script", "style", "iframe", "img", "form"}.isdisjoint(page.tags)


async def test_it_needs_nobody_else(served: Served, page: Page) -> None:
    elsewhere = [link for link in page.links if not link.startswith("#")]

    assert set(elsewhere) == {"docs/style.css", "openapi.json"}
    for link in elsewhere:
        assert (await served.client.get(link)).status_code == 200
    style = await served.client.get("/docs/style.css")
    assert style.headers["content-type"] == "text/css; charset=utf-8"
    assert len(style.content) < STYLE_BYTES_MAX
    assert re.search(r"url\(|@import|//", style.text) is None
    assert "prefers-color-scheme: dark" in style.text


async def test_every_link_in_it_leads_somewhere(page: Page) -> None:
    targets = [link[1:] for link in page.links if link.startswith("#")]

    assert set(targets) <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))


async def test_it_has_every_route_with_its_parameters_and_every_schema(served: Served, page: Page) -> None:
    document = (await served.client.get("/openapi.json")).json()

    for operation in ROUTES:
        if operation.doc is None:
            continue
        assert operation.doc.id in page.ids
        described = document["paths"][operation.path][operation.method.lower()]
        for parameter in described.get("parameters", []):
            assert parameter["description"].replace("`", "") in page.text
    for name in document["components"]["schemas"]:
        read = re.sub("(?<=Problem)[0-9]+", "", name)  # for readers, the problems of all statuses look alike
        assert f"schema-{read}" in page.ids


async def test_it_can_be_read_without_a_mouse_and_without_eyes(page: Page) -> None:
    assert page.tags.count("details") == page.tags.count("summary") > sum(route.doc is not None for route in ROUTES)
    assert {"main", "nav", "header", "h1", "h2"} <= set(page.tags)
    assert {"lang", "aria-label", "scope"} <= page.attributes
    assert page.links[1] == "#main", "a way past the list of routes comes first"


async def test_what_it_says_of_a_request_can_be_pasted(page: Page) -> None:
    assert "curl 127.0.0.1:8080/tasks/a3f09c-42\n" in page.text
    assert re.search(
        r"""curl -X POST \S+/tasks -H 'Content-Type: application/json' -d '\{.*\}'$""", page.text, re.MULTILINE
    )


async def test_a_stream_is_shown_as_it_is_sent(page: Page) -> None:
    assert '{"name":"line-1"}\n{"name":"line-2","duration":100}\n' in page.text


class Odd(Sleep):
    """A handler whose descriptions contain text that looks like the page's own markup."""

    @property
    def params_schema(self) -> dict[str, Any]:
        return {"type": "object", "description": "`a` < <b>b", "properties": {"<i>": {"description": "<u>"}}}


async def test_a_handler_is_shown_whatever_it_is_called() -> None:
    name = "<b>&'\"> ü"
    app = create_app(Executor(LocalStore(), handlers=Catalogue({"sleep": Sleep(), name: Odd()})), Config())

    page = Page(await (await app.test_client().get("/docs")).get_data(as_text=True))

    for text in (name, "a < <b>b", "<i>", "<u>"):
        assert text in page.text
    assert set(page.links) - {f"#{anchor}" for anchor in page.ids} == {"docs/style.css", "openapi.json"}
