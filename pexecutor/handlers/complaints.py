"""Messages on invalid values: the same texts for a task's params and for a handler's table in the configuration."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

import msgspec

from ..errors import ConfigError
from ..values import exception_text, plain_text
from .contract import Complaint

NAME_CHARACTERS_SHOWN_MAX: Final = 100
"""The maximum length of an unknown parameter's name in a message."""

_AT_PATH: Final = re.compile(r" - at `\$\.?([^`]*)`\Z")
_NAMED: Final = re.compile(r"Object (contains unknown|missing required) field `(.*)`", re.DOTALL)

Settings = TypeVar("Settings", bound=msgspec.Struct)
Given = TypeVar("Given")


def missing(name: str) -> Complaint:
    """Return the complaint that a required parameter is missing."""
    return f"params.{name}", f"`params.{name}` is required"


def unknown(name: str, known: Iterable[str]) -> Complaint:
    """Return the complaint that the handler has no such parameter."""
    shown = name[:NAME_CHARACTERS_SHOWN_MAX]
    listed = ", ".join(f"`{parameter}`" for parameter in known)
    hint = f"the parameters are: {listed}" if listed else "the handler takes no parameters"
    return f"params.{shown}", f"unknown parameter `{shown}`; {hint}"


def wrong(name: str, why: str) -> Complaint:
    """Return the complaint that a parameter has an invalid value."""
    return f"params.{name}", f"`params.{name}`: {why}"


def checked(check: Callable[[Given], Complaint | None], given: Given) -> Complaint | None:
    """Return a check's complaint. If the check raises, its exception is the complaint."""
    try:
        complaint = check(given)
    # BaseException, because the operator's own types may raise anything. `check` does not await: no Cancelled arrives.
    except BaseException as error:
        return "params", f"`params`: the handler's check failed: {exception_text(error)}"
    return complaint


def params_complaint(error: msgspec.ValidationError, params_type: type[msgspec.Struct]) -> Complaint:
    """Return the complaint for an error of ``msgspec`` about params."""
    path, sentence = _split(plain_text(error))
    if (named := _NAMED.fullmatch(sentence)) is not None and not path:
        known = params_type.__struct_fields__
        return missing(named[2]) if named[1].startswith("missing") else unknown(named[2], known)
    return wrong(path, sentence) if path else ("params", f"`params`: {sentence}")


def settings_from(table: Any, settings: type[Settings], where: str) -> Settings:
    """Convert a handler's table from the configuration file to its type.

    Raises:
        ConfigError: a key is unknown, missing or out of range; the message names the key.
    """
    try:
        return msgspec.convert(table, settings)
    except msgspec.ValidationError as error:
        path, sentence = _split(str(error))
        raise ConfigError(f"{where}.{path}: {sentence}" if path else f"{where}: {sentence}") from error


def _split(message: str) -> tuple[str, str]:
    """Split a message of ``msgspec`` into the path of the invalid value (empty for the whole) and the sentence."""
    at = _AT_PATH.search(message)
    path, sentence = ("", message) if at is None else (at[1], message[: at.start()])
    return path, sentence.replace("Expected", "expected", 1)
