"""The reader of pages finds all blocks, and reports a block that no test would see."""

from __future__ import annotations

from pathlib import Path

import pytest

from .markdown import Block, Step, blocks, headings, normal, steps

PAGE = """\
# A page

```sh
pexecutor
```

## A session

```console
$ echo '# no heading' && echo two
# no heading
two
$ true
```

```{toctree}
other
```
"""


def write(folder: Path, text: str) -> Path:
    page = folder / "page.md"
    page.write_text(text, encoding="utf-8")
    return page


def test_blocks_know_their_line_and_heading(tmp_path: Path) -> None:
    session = "$ echo '# no heading' && echo two\n# no heading\ntwo\n$ true\n"

    assert blocks(write(tmp_path, PAGE)) == [
        Block("sh", "pexecutor\n", 3, "A page"),
        Block("console", session, 9, "A session"),
    ]


def test_headings_are_read_outside_of_blocks(tmp_path: Path) -> None:
    assert headings(write(tmp_path, PAGE)) == ["A page", "A session"]


def test_a_session_is_commands_and_outputs(tmp_path: Path) -> None:
    [_, session] = blocks(write(tmp_path, PAGE))

    assert steps(session) == [
        Step("echo '# no heading' && echo two", "# no heading\ntwo\n"),
        Step("true", ""),
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("1. First:\n\n   ```sh\n   pexecutor\n   ```\n", "line 3: a fence must begin at the margin"),
        ("```\npexecutor\n```\n", "line 1: a fence must name a language"),
        ("```sh\npexecutor\n", "line 1: this fence is not closed"),
    ],
)
def test_a_block_that_no_test_would_see_is_an_error(text: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=complaint):
        blocks(write(tmp_path, text))


def test_outputs_are_equal_but_for_times_ids_and_line_breaks() -> None:
    shown = '{"id":"a3f09c-1",\n "submitted_at":"2026-11-25T00:26:41.991Z"}\n'

    assert normal(shown) == normal('{"id":"000000-1","submitted_at":"2027-01-01T00:00:00.000Z"}')
    assert normal(shown) != normal('{"id":"000000-2","submitted_at":"2027-01-01T00:00:00.000Z"}')
