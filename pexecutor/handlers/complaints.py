"""How a wrong value is complained of: the same sentences for a task's params and for a handler's table."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

import msgspec

from ..errors import ConfigError
from ..values import exception_text, plain_text
from .contract import Complaint

NAME_CHARACTERS_SHOWN_MAX: Final = 100
"""How much of a name that we do not know is said back."""

_AT_PATH: Final = re.compile(r" - at `\$\.?([^`]*)`\Z")
_NAMED: Final = re.compile(r"Object (contains unknown|missing required) field `(.*)`", re.DOTALL)

Settings = TypeVar("Settings", bound=msgspec.Struct)
Given = TypeVar("Given")


def missing(name: str) -> Complaint:
    """A parameter that is required was not given."""
    return f"params.{name}", f"`params.{name}` is required"


def unknown(name: str, known: Iterable[str]) -> Complaint:
    """A parameter was given that the handler does not have."""
    shown = name[:NAME_CHARACTERS_SHOWN_MAX]
    there_are = ", ".join(f"`{one}`" for one in known) or "none"
    return f"params.{shown}", f"there is no parameter `{shown}`; there are: {there_are}"


def wrong(name: str, why: str) -> Complaint:
    """A parameter has a value that cannot be taken."""
    return f"params.{name}", f"`params.{name}`: {why}"


def checked(check: Callable[[Given], Complaint | None], given: Given) -> Complaint | None:
    """Return a check's complaint; a check that raises, as the operator's own types may, complains by that."""
    try:
        complaint = check(given)
    except BaseException as error:
        return "params", f"`params`: the handler cannot take them: {exception_text(error)}"
    return complaint


def params_complaint(error: msgspec.ValidationError, params_type: type[msgspec.Struct]) -> Complaint:
    """What ``msgspec`` found wrong with params."""
    path, sentence = _split(plain_text(error))
    if (named := _NAMED.fullmatch(sentence)) is not None and not path:
        known = params_type.__struct_fields__
        return missing(named[2]) if named[1].startswith("missing") else unknown(named[2], known)
    return wrong(path, sentence) if path else ("params", f"`params`: {sentence}")


def settings_from(table: Any, settings: type[Settings], where: str) -> Settings:
    """A handler's table from the configuration file, in its type.

    Raises:
        ConfigError: a key is unknown, missing or out of its range; names it.
    """
    try:
        return msgspec.convert(table, settings)
    except msgspec.ValidationError as error:
        path, sentence = _split(str(error))
        raise ConfigError(f"{where}.{path}: {sentence}" if path else f"{where}: {sentence}") from error


def _split(message: str) -> tuple[str, str]:
    """The path of what is wrong, empty for the whole, and the sentence on it."""
    at = _AT_PATH.search(message)
    path, sentence = ("", message) if at is None else (at[1], message[: at.start()])
    return path, sentence.replace("Expected", "expected", 1)
