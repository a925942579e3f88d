"""Tags: labels by which callers group tasks; their number and their length are limited."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Final

from msgspec import Meta

TAGS_MAX: Final = 10
TAG_CHARACTERS_MAX: Final = 64

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_WITHOUT_CONTROL: Final = {"pattern": r"^[^\x00-\x1f\x7f-\x9f]*$"}

Tag = Annotated[str, Meta(min_length=1, max_length=TAG_CHARACTERS_MAX, extra_json_schema=_WITHOUT_CONTROL)]
Tags = Annotated[tuple[Tag, ...], Meta(max_length=TAGS_MAX, extra_json_schema={"uniqueItems": True})]


def check_tags(tags: Sequence[str]) -> None:
    """Raise ``ValueError`` if a tag is repeated or contains a control character."""
    for index, tag in enumerate(tags):
        if _CONTROL.search(tag):
            raise ValueError("`tags` must not contain control characters")
        if tag in tags[:index]:
            raise ValueError(f"`tags` contains {tag!r} more than once")
