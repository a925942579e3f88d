"""The synchronous client is the asynchronous one without the words of asynchronous code."""

from __future__ import annotations

from pathlib import Path

import pytest

from .generation import CLIENT, WRITTEN_BY_HAND, sources, synchronous, target_of, tree_of


@pytest.mark.parametrize("source", sources(), ids=lambda path: path.name)
def test_the_synchronous_module_is_generated(source: Path) -> None:
    expected = synchronous(source.read_text(encoding="utf-8"))
    found = target_of(source).read_text(encoding="utf-8")

    assert tree_of(found) == tree_of(expected), "run: python -m tests.client.generation"


def test_no_generated_module_is_left_over() -> None:
    names = {path.name for path in (CLIENT / "sync").glob("*.py")}

    assert names == {path.name for path in sources()} | WRITTEN_BY_HAND
