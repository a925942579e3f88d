"""Each state of the server and of the connection is shown, and looks right."""

from __future__ import annotations

import pytest

from .markup import Markup
from .page import Page
from .states import STATES
from .test_look import LOOKS, check


@pytest.mark.parametrize("scheme", ["light", "phone"])
@pytest.mark.parametrize("name", STATES)
def test_a_state_is_shown_and_looks_right(page: Page, name: str, scheme: str, markup: Markup) -> None:
    page.expect("status of 4", "status of 5", "net::", "Failed to load")
    look = LOOKS[scheme]
    page.look(**look._asdict())
    with STATES[name]() as opened:
        opened(page)
        assert check(page, look, markup) == {}
        page.driver.get("about:blank")
