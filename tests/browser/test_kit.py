"""The kit: each component in each state looks right, in light and dark mode and on a phone."""

from __future__ import annotations

import pytest

from .kit_server import kit_server
from .markup import Markup
from .page import Page
from .test_look import FAILURE_TOKENS, IN_FAILURE_COLOUR, LOOKS, check


@pytest.mark.parametrize("name", LOOKS)
def test_the_kit_looks_right(page: Page, name: str, markup: Markup) -> None:
    look = LOOKS[name]
    page.look(**look._asdict())
    with kit_server() as url:
        page.open(url, until="")
        page.shows("h2", "States and outcomes")
        assert check(page, look, markup) == {}
        page.open(f"{url}?dialog", until="")
        page.shows("dialog", "4,213")
        assert check(page, look, markup) == {}
        page.driver.get("about:blank")


def test_the_words_of_failures_have_their_colour(page: Page) -> None:
    with kit_server() as url:
        page.open(url, until="")
        page.shows("h2", "States and outcomes")
        assert page.run(IN_FAILURE_COLOUR, FAILURE_TOKENS)["right"] > 10
        page.driver.get("about:blank")
