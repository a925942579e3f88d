"""Say what is wrong with an invalid value: the only module that reads and words the messages of ``msgspec``.

``msgspec`` reports the first fault of a value in its own words, with the place as a path like ``$.retries``. Callers
get a ``Fault`` with the parts of such a message. The same fault reads the same in a reply, in a setting and in an
argument, and names what would be valid: the known fields, the values of an enumeration, an example of a time.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import is_dataclass
from datetime import datetime
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from .errors import ConfigError
from .limits.defaults import CHARACTERS_SHOWN_MAX

TIME_EXAMPLE: Final = "2030-01-31T08:00:00Z"

_AT_PATH: Final = re.compile(r" - at (?P<key>`key` in )?`\$\.?(?P<path>[^`]*)`\Z")
_STEP: Final = re.compile(r"(?P<field>\w+)|\[(?:(?P<index>\d+)|\.\.\.)\]")
_NAMED: Final = re.compile(r"Object (?P<kind>contains unknown|missing required) field `(?P<name>.*)`", re.DOTALL)
_ENUM: Final = re.compile(r"Invalid enum value (?P<value>.*)", re.DOTALL)
_ABOUT_TIME: Final = re.compile(r"Invalid RFC3339|Expected `datetime|Invalid epoch")
_CAPITAL: Final = re.compile(r"(?:Expected|Invalid|Integer|Number) ")

Settings = TypeVar("Settings", bound=msgspec.Struct)


class Fault(NamedTuple):
    """What is wrong with a value.

    Parameters:
        kind: whether a field is missing or unknown, or a value is invalid.
        path: the place of the invalid value or of the field, like ``retries`` or ``sizes[0]``; empty for the whole.
        why: for an invalid value, what is wrong with it.
        expected: for an invalid value, what is wrong without the value itself, for messages that show the value.
        known: for an unknown field, the names of the known fields.
    """

    kind: Literal["missing", "unknown", "invalid"]
    path: str
    why: str = ""
    expected: str = ""
    known: tuple[str, ...] = ()

    def sentence(self) -> str:
        """Return what is wrong, with the path."""
        match self.kind:
            case "missing":
                return f"`{self.path}` is required"
            case "unknown":
                return unknown("field", self.path, self.known)
            case _:
                return f"`{self.path}`: {self.why}" if self.path else self.why


def fault_of(error: msgspec.ValidationError, kind: Any) -> Fault:
    """Return the fault that a message of ``msgspec`` describes.

    Parameters:
        error: the error of ``msgspec``.
        kind: the type to which the value was converted.
    """
    message = str(error)
    at = _AT_PATH.search(message)
    path, message = ("", message) if at is None else (at["path"], message[: at.start()])
    types = list(_types_at(kind, path, of_key=at is not None and at["key"] is not None))
    if (named := _NAMED.fullmatch(message)) is not None:
        whole = f"{path}.{named['name']}" if path else named["name"]
        if named["kind"].startswith("missing"):
            return Fault("missing", whole)
        return Fault("unknown", whole, known=tuple(name for each in types for name in _fields(each)))
    expected = why = (
        _CAPITAL.sub(lambda found: found[0].lower(), message, count=1) if _CAPITAL.match(message) else message
    )
    if (value := _ENUM.fullmatch(message)) is not None:
        expected = f"the values are: {', '.join(map(str, _values(types)))}"
        why = f"unknown value {value['value']}; {expected}"
    elif datetime in types and _ABOUT_TIME.match(message):
        got = message[message.index(", got") :] if ", got" in message else ""
        expected = why = f"expected a time with a time zone (RFC 3339), such as {TIME_EXAMPLE}{got}"
    return Fault("invalid", path, why, expected)


def unknown(noun: str, name: str, known: Iterable[str], *, where: str = "", none: str = "") -> str:
    """Return a sentence about an unknown name: it suggests the most similar known name, and lists all known names.

    Parameters:
        noun: what the name should be the name of, like ``field``.
        name: the unknown name.
        known: the known names.
        where: the place, as the continuation of the sentence, like `` in [handlers.x]``.
        none: what to say instead of the list if there are no known names.
    """
    names = list(known)
    shown = f"unknown {noun} `{name[:CHARACTERS_SHOWN_MAX]}`{where}"
    if not names:
        return f"{shown}; {none or f'there are no {noun}s'}"
    listed = f"{noun}s are: {', '.join(f'`{each}`' for each in names)}"
    close = similar(name, names)
    return f"{shown}; the {listed}" if close is None else f"{shown}: did you mean `{close}`? The {listed}"


def similar(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most similar to a name, or ``None`` if none is similar."""
    close = get_close_matches(name[:CHARACTERS_SHOWN_MAX], list(known), n=1)
    return close[0] if close else None


def table_from(table: Any, kind: type[Settings], where: str) -> Settings:
    """Convert a table of the configuration file to its type.

    Parameters:
        table: the table.
        kind: the type of the table.
        where: the name of the table, like ``handlers.x``.

    Raises:
        ConfigError: a key is unknown, missing or out of range; the message names the key.
    """
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        fault = fault_of(error, kind)
        if fault.kind == "unknown":
            raise ConfigError(unknown("key", fault.path, fault.known, where=f" in [{where}]")) from error
        if fault.kind == "missing":
            raise ConfigError(f"{where}: `{fault.path}` is required") from error
        raise ConfigError(f"{where}.{fault.path}: {fault.why}" if fault.path else f"{where}: {fault.why}") from error


def malformed(error: Exception, what: str) -> str:
    """Return why bytes could not be decoded as JSON.

    Parameters:
        error: the error of ``msgspec``.
        what: what the bytes are, like ``the body``.
    """
    match error:
        case UnicodeDecodeError():
            return f"{what} is not UTF-8"
        case RecursionError():
            return f"{what} is nested too deeply"
        case msgspec.ValidationError():
            return f"{what}: {error_words(error)}"
        case _ if "UTF-8" in str(error):
            return f"{what} is not UTF-8"
        case _:
            return f"{what} is not valid JSON: {str(error).removeprefix('JSON is malformed: ')}"


def error_words(error: Exception) -> str:
    """Return the text of an error; of an error of ``msgspec``, the sentence of its fault."""
    return fault_of(error, Any).sentence() if isinstance(error, msgspec.ValidationError) else str(error)


def _types_at(kind: Any, path: str, *, of_key: bool) -> Iterator[Any]:
    """Yield the types that a value at a path may have, without ``Annotated`` and ``None``."""
    kinds = [kind]
    for step in _STEP.finditer(path):
        kinds = [inner for outer in kinds for one in _members(outer) for inner in _inner(one, step)]
    for outer in kinds:
        for one in _members(outer):
            yield from _members(get_args(one)[0]) if of_key and get_args(one) else [one]


def _members(kind: Any) -> Iterator[Any]:
    """Yield the members of a union, or the type itself."""
    if get_origin(kind) is Annotated:
        yield from _members(get_args(kind)[0])
    elif get_origin(kind) in (Union, UnionType):
        for member in get_args(kind):
            yield from _members(member)
    elif kind is not NoneType:
        yield kind


def _inner(kind: Any, step: re.Match[str]) -> Iterator[Any]:
    """Yield the type of a field or of an element."""
    if step["field"] is not None:
        if (field := _fields(kind).get(step["field"])) is not None:
            yield field
        return
    arguments = get_args(kind)
    match get_origin(kind):
        case origin if origin is tuple and step["index"] is not None and Ellipsis not in arguments:
            yield from arguments[int(step["index"]) :][:1]
        case origin if isinstance(origin, type) and issubclass(origin, Mapping):
            yield from arguments[1:]
        case origin if isinstance(origin, type) and issubclass(origin, Sequence | Set):
            yield from arguments[:1]


def _fields(kind: Any) -> dict[str, Any]:
    """Return the types of the fields of an object, by the names that a caller writes."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
    if is_dataclass(kind) or hasattr(kind, "__required_keys__"):
        return get_type_hints(kind, include_extras=True)
    return {}


def _values(kinds: Iterable[Any]) -> Iterator[Any]:
    """Yield the values of enumerations and literals, in the order of their declaration."""
    for kind in kinds:
        if get_origin(kind) is Literal:
            yield from get_args(kind)
        elif isinstance(kind, type) and issubclass(kind, enum.Enum):
            yield from (member.value for member in kind)
