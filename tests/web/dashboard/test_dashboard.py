"""The dashboard's files: the content security policy, the size, caching and compression; and its one page."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

from pexecutor.web.dashboard.answers import ASK_AGAIN, HEADERS, KEEP
from pexecutor.web.dashboard.static_files import CONTENT_TYPES, static_files, version

from ..conftest import Served
from ..replies import problem_in

STATIC = Path(__file__).parents[3] / "pexecutor" / "web" / "dashboard" / "static"
FILES = sorted(static_files())
OWN_FILES = [name for name in FILES if not name.startswith("vendor/")]
SCRIPTS = [name for name in OWN_FILES if name.endswith(".js")]

COMPRESSED_BYTES_MAX = 200 * 1024
MODULE_LINES_MAX = 300

PAGES = {"/": "ui/static/", "/ui": "ui/static/", "/ui/tasks": "static/", "/ui/tasks/000000-1": "../static/"}
"""Paths of pages, with the URL of the folder of the files as each page names it."""


def text_of(name: str) -> str:
    return (STATIC / name).read_text(encoding="utf-8")


def url_of(name: str, of_version: str | None = None) -> str:
    return f"/ui/static/{of_version or version()}/{name}"


@pytest.mark.parametrize("name", FILES)
async def test_a_file_is_sent_with_what_it_may_do(served: Served, name: str) -> None:
    reply = await served.client.get(url_of(name), headers={"Accept-Encoding": "identity"})

    assert reply.status_code == 200
    assert reply.content == (STATIC / name).read_bytes()
    assert reply.headers["content-type"] == CONTENT_TYPES[name.rpartition(".")[2]]
    assert {name: reply.headers[name.lower()] for name in HEADERS} == HEADERS


async def test_a_browser_gets_compressed_files(served: Served) -> None:
    async with served.client.stream("GET", url_of("app/main.js"), headers={"Accept-Encoding": "gzip, br"}) as reply:
        raw = b"".join([part async for part in reply.aiter_raw()])

    assert reply.headers["content-encoding"] == "gzip"
    assert gzip.decompress(raw) == (STATIC / "app/main.js").read_bytes()


@pytest.mark.parametrize("accepted", ["identity", "br", "gzip;q=0"])
async def test_a_client_that_takes_no_gzip_gets_none(served: Served, accepted: str) -> None:
    reply = await served.client.get(url_of("app/main.js"), headers={"Accept-Encoding": accepted})

    assert "content-encoding" not in reply.headers
    assert reply.headers["vary"] == "Accept-Encoding"


async def test_a_browser_keeps_the_files_of_this_version_and_asks_again_for_others(served: Served) -> None:
    own = await served.client.get(url_of("app/main.js"))
    other = await served.client.get(url_of("app/main.js", "0123456789abcdef"))

    assert (own.headers["cache-control"], other.headers["cache-control"]) == (KEEP, ASK_AGAIN)
    assert other.content == own.content


@pytest.mark.parametrize("path", PAGES)
async def test_every_address_of_a_page_answers_the_one_page(served: Served, path: str) -> None:
    reply = await served.client.get(path)

    folder = f"{PAGES[path]}{version()}"
    assert reply.status_code == 200
    assert reply.headers["cache-control"] == ASK_AGAIN
    assert reply.text == text_of("index.html").replace("{static}", folder).replace("{version}", version())


@pytest.mark.parametrize("path", PAGES)
async def test_each_file_that_a_page_names_is_there(served: Served, path: str) -> None:
    reply = await served.client.get(path)

    for file in re.findall(r'(?:href|src)="([^"]+)"', reply.text):
        assert (await served.client.get(str(reply.url.join(file)))).status_code == 200, file


async def test_the_policy_allows_nothing_inline_and_nothing_from_elsewhere(served: Served) -> None:
    policy = (await served.client.get("/")).headers["content-security-policy"]

    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';")
    assert "unsafe" not in policy


@pytest.mark.parametrize("path", ["/", url_of("app/main.js"), url_of("app/main.js", "0123456789abcdef")])
async def test_what_a_browser_has_is_not_sent_again(served: Served, path: str) -> None:
    first = await served.client.get(path)
    again = await served.client.get(path, headers={"If-None-Match": first.headers["etag"]})

    assert (again.status_code, again.content) == (304, b"")


async def test_compressed_and_plain_files_have_different_etags(served: Served) -> None:
    tags = {
        (await served.client.get("/", headers={"Accept-Encoding": coding})).headers["etag"]
        for coding in ("gzip", "identity")
    }

    assert len(tags) == 2


@pytest.mark.parametrize(
    "path",
    [
        *("/dashboard/app.js", "/ui/static/", url_of("app/none.js"), url_of("app"), url_of("index.html")),
        *(url_of("..%2Fanswers.py"), url_of("app/..%2Findex.html"), "/ui/tasks/a/b"),
    ],
)
async def test_there_is_no_other_file(served: Served, path: str) -> None:
    problem_in(await served.client.get(path), 404)


def test_all_of_it_is_small() -> None:
    assert sum(len(file.compressed) for file in static_files().values()) < COMPRESSED_BYTES_MAX


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_module_is_of_a_size_that_can_be_read(name: str) -> None:
    assert len(text_of(name).splitlines()) <= MODULE_LINES_MAX


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_module_says_what_it_is(name: str) -> None:
    assert text_of(name).startswith("// ")


@pytest.mark.parametrize("name", SCRIPTS)
def test_each_module_that_a_module_imports_is_there(name: str) -> None:
    for imported in re.findall(r'(?:from|import)\s*\(?"([^"]+)"', text_of(name)):
        assert imported.startswith("."), "a strict policy allows no import map"
        assert (STATIC / name).parent.joinpath(imported).is_file(), imported


ABSOLUTE = re.compile(r"""["'`(]/[a-z]""")
ELSEWHERE = re.compile(r"https?://|\beval\(|innerHTML|dangerouslySetInnerHTML|\bstyle=")


@pytest.mark.parametrize("name", [*OWN_FILES, "index.html"])
def test_it_comes_from_nowhere_else_and_has_nothing_inline(name: str) -> None:
    text = text_of(name).replace("http://www.w3.org/2000/svg", "")

    assert ELSEWHERE.search(text) is None
    assert ABSOLUTE.search(text) is None, "a proxy may serve the dashboard below a path"
    if name.endswith(".html"):
        assert re.search(r"<style|<script(?![^>]*src=)| on[a-z]+=", text) is None
