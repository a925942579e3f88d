"""Slots: the places in a command or a URL that a task fills with a param.

A slot is always a whole element (an argument of a command, a segment of a URL) and never a part of an element. So a
task's value can only fill its slot and cannot change other elements. ``{{`` and ``}}`` are literal braces.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final

import msgspec

_SLOT: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_BRACE: Final = re.compile(r"\{\{|\}\}|\{|\}")

VALUE_SCHEMA: Final = {"type": ["string", "number", "boolean"]}
"""The JSON Schema of a value that can fill a slot."""


class Slot(msgspec.Struct, frozen=True):
    """A place that is filled with the param ``name``."""

    name: str


def parse_element(element: str) -> str | Slot:
    """Return an element as a slot, or as literal text with its braces unescaped.

    Raises:
        ValueError: a brace is neither doubled nor part of a slot that is the whole element.
    """
    if (slot := _SLOT.fullmatch(element)) is not None:
        return Slot(slot[1])
    return _BRACE.sub(_unescape, element)


def _unescape(brace: re.Match[str]) -> str:
    if len(brace[0]) == 1:
        raise ValueError(
            "a slot like `{name}` must be a whole argument, path segment or query value; write a literal brace twice"
        )
    return brace[0][0]


def value_text(value: Any) -> str:
    """Return a param as the text that fills its slot.

    Raises:
        ValueError: the value cannot fill a slot; the message says why.
    """
    match value:
        case bool():
            text = "true" if value else "false"
        case str():
            text = value
        case int():
            text = str(value)
        case float() if math.isfinite(value):
            text = repr(value)
        case _:
            raise ValueError("expected a string, a number or a boolean")
    if "\0" in text:
        raise ValueError("must not contain a NUL character")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("must be valid Unicode text, without surrogates")
    return text
