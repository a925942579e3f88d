"""Slots: the places in a command or a URL that a task fills with a param.

A slot is a whole element (an argument of a command, a segment of a URL), or in a command the whole value of an option:
``--file={file}``. So a task's value can only fill its slot and cannot change other elements. ``{{`` and ``}}`` are
literal braces.

Before a slot, an argument has only the name of an option and its ``=``. The operator has chosen the option, the program
takes everything after the first ``=`` as its value, and the value stays in one argument. Other text around a slot is
refused, because programs split such arguments by rules of their own: a shell runs ``echo {text}``, a path ends at
another directory in ``/data/{file}``, and ``-v{level}`` may be read as several options.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final

import msgspec

_SLOT: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_OPTION: Final = re.compile(r"([A-Za-z0-9_.-]+=)\{([A-Za-z_][A-Za-z0-9_]*)\}")
_BRACE: Final = re.compile(r"\{\{|\}\}|\{|\}")

VALUE_SCHEMA: Final = {"type": ["string", "number", "boolean"]}
"""The JSON Schema of a value that can fill a slot."""


class Slot(msgspec.Struct, frozen=True):
    """A place that is filled with the param ``name``.

    Parameters:
        name: the name of the param.
        option: literal text before the value in the same argument, as in ``--file=``.
    """

    name: str
    option: str = ""

    def filled(self, value: bytes) -> bytes:
        """Return the argument with this value in the slot."""
        return self.option.encode() + value


def parse_element(element: str) -> str | Slot:
    """Return an element of a URL as a slot, or as literal text with its braces unescaped.

    Raises:
        ValueError: a brace is neither doubled nor part of a slot that is the whole element.
    """
    if (slot := _SLOT.fullmatch(element)) is not None:
        return Slot(slot[1])
    return _unescaped(element, "a whole path segment or query value")


def parse_argument(argument: str) -> str | Slot:
    """Return an argument of a command as a slot, or as literal text with its braces unescaped.

    Raises:
        ValueError: a brace is neither doubled nor part of a slot that is the whole argument or an option's value.
    """
    if (slot := _SLOT.fullmatch(argument)) is not None:
        return Slot(slot[1])
    if (slot := _OPTION.fullmatch(argument)) is not None:
        return Slot(slot[2], slot[1])
    return _unescaped(argument, "a whole argument or all that follows an option's name and `=`, as in `--file={file}`")


def _unescaped(text: str, place: str) -> str:
    """Return literal text with its doubled braces as single ones; ``place`` is where a slot may stand."""
    if any(len(brace) == 1 for brace in _BRACE.findall(text)):
        raise ValueError(f"a slot like `{{name}}` must be {place}; write a literal brace twice")
    return _BRACE.sub(lambda brace: brace[0][0], text)


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
