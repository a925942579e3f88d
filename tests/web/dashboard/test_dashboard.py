"""The dashboard's files: the content security policy, the size, and caching."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pexecutor.web.dashboard.answers import CONTENT_TYPES, HEADERS

from ..conftest import Served
from ..replies import problem_in

STATIC = Path(__file__).parents[3] / "pexecutor" / "web" / "dashboard" / "static"
FILES = sorted(path.name for path in STATIC.iterdir())

BYTES_MAX = 150 * 1024
MODULE_LINES_MAX = 300


def text_of(file: str) -> str:
    return (STATIC / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("file", FILES)
async def test_a_file_is_sent_with_what_it_may_do(served: Served, file: str) -> None:
    reply = await served.client.get(f"/dashboard/{file}")

    assert reply.status_code == 200
    assert reply.content == (STATIC / file).read_bytes()
    assert reply.headers["content-type"] == CONTENT_TYPES[file.rpartition(".")[2]]
    assert {name: reply.headers[name.lower()] for name in HEADERS} == HEADERS


async def test_the_page_is_at_the_root(served: Served) -> None:
    reply = await served.client.get("/")

    assert reply.text == text_of("index.html")
    assert "script-src 'self';" in reply.headers["content-security-policy"]
    assert "unsafe" not in reply.headers["content-security-policy"]


async def test_what_a_browser_has_is_not_sent_again(served: Served) -> None:
    first = await served.client.get("/dashboard/app.js")
    again = await served.client.get("/dashboard/app.js", headers={"If-None-Match": first.headers["etag"]})

    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "path", ["/dashboard/none.js", "/dashboard/", "/dashboard/..%2Fops.py", "/dashboard/../ops.py"]
)
async def test_there_is_no_other_file(served: Served, path: str) -> None:
    problem_in(await served.client.get(path), 404)


def test_all_of_it_is_small() -> None:
    assert sum(len((STATIC / file).read_bytes()) for file in FILES) < BYTES_MAX
    for file in FILES:
        assert len(text_of(file).splitlines()) <= MODULE_LINES_MAX, file


@pytest.mark.parametrize("file", FILES)
def test_it_comes_from_nowhere_else_and_has_nothing_inline(file: str) -> None:
    text = text_of(file).replace("http://www.w3.org/2000/svg", "")

    assert re.search(r"https?://|\beval\(|innerHTML", text) is None
    if file.endswith(".html"):
        assert re.search(r"<style|<script(?![^>]*src=)| style=| on[a-z]+=", text) is None
