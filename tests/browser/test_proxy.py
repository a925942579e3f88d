"""The dashboard and the documentation at a path behind nginx, in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..server.proxies import PROGRAMS, SITES, proxying, serving_sites
from .page import Page

SITE = next(site for site in SITES if site.name == "example.org")


@pytest.mark.parametrize("kind", [kind for kind in PROGRAMS if kind == "nginx"])
def test_the_dashboard_works_at_a_path(page: Page, tmp_path: Path, kind: str) -> None:
    page.expect("401")  # the page asks for a token when the server demands one
    with serving_sites(tmp_path, SITE) as (token, servers), proxying(kind, tmp_path, token, servers) as proxy:
        url = f"https://{SITE.name}:{proxy.https_port}{SITE.path}"
        page.driver.get(url)  # without the slash
        page.until(lambda: page.driver.current_url == f"{url}/", "no slash was added")
        page.fill("Token", token)
        page.press("Sign in")
        page.shows("h1", "Overview")
        page.press("New task")
        page.fill("Name", "behind-a-proxy")
        page.element("dialog select").send_keys("sleep")
        page.press("Submit task")
        page.shows_no("dialog")
        page.driver.get(f"{url}/ui/tasks?name_prefix=behind")
        page.shows(".table .task-name", "behind-a-proxy")
        page.shows(".table", "succeeded")

        page.driver.get(f"{url}/docs")
        page.shows("h1", "pexecutor API")
        rules = page.run("return document.styleSheets[0].cssRules.length")
        assert rules > 0, "the style sheet was not found"
        page.driver.get("about:blank")
