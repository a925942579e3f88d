"""Convert ``key=value`` arguments to params.

The handler's JSON Schema gives the type of a param. If the param may be a string, or the schema does not know it, the
value is the text as written. Otherwise the text is parsed as JSON: a number, ``true``, a list or an object. This does
not
validate the value: the server does that.

``key=@FILE`` reads the text from a file, and ``key=@-`` from standard input. ``key=@@text`` means a text that begins
with ``@``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from ..limits.defaults import BODY_BYTES_MAX
from ..validation import malformed
from .streams import STDIN
from .text import utf8

FILE_BYTES_MAX: Final = BODY_BYTES_MAX
"""The maximum length of a file with params. It is larger than any params that a server accepts."""

_REFERENCE: Final = "#/$defs/"

_TYPE_OF: Final = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}

_NO_SCHEMA: Final[Mapping[str, Any]] = {}


class ParamsSchema:
    """The JSON Schema of a handler's params.

    Parameters:
        schema: the schema as in ``GET /handlers``.
    """

    def __init__(self, schema: Mapping[str, Any] = _NO_SCHEMA) -> None:
        self._definitions = schema.get("$defs", {})
        top = self._resolved(schema)
        self._properties: Mapping[str, Any] = top.get("properties", {})
        self._required = frozenset(top.get("required", ()))

    def types(self, name: str) -> frozenset[str]:
        """Return the JSON types that a param may have; an empty set if the schema does not say."""
        return self._types(self._properties.get(name, {}))

    def _types(self, schema: Mapping[str, Any]) -> frozenset[str]:
        schema = self._resolved(schema)
        types = schema.get("type", ())
        found = {types} if isinstance(types, str) else set(types)
        found |= {_TYPE_OF[type(value)] for value in schema.get("enum", ()) if type(value) in _TYPE_OF}
        for choice in schema.get("anyOf", ()):
            found |= self._types(choice)
        return frozenset(found)

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        name = str(schema.get("$ref", "")).removeprefix(_REFERENCE)
        resolved: Mapping[str, Any] = self._definitions.get(name, schema)
        return resolved

    def value(self, name: str, text: str) -> Any:
        """Return the value of a param from its text.

        Raises:
            UsageError: the param must be JSON, and the text is not valid JSON.
        """
        types = self.types(name)
        if not types or "string" in types:
            return text
        try:
            return msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError) as error:
            wanted = " or ".join(sorted(types))
            raise click.UsageError(f"the param `{name}` must be JSON ({wanted}), not {text!r}") from error

    def signature(self) -> str:
        """Return all params like a declaration: ``path:string width:integer=200``."""
        return " ".join([self._declaration(name) for name in self._properties])

    def _declaration(self, name: str) -> str:
        declared = f"{name}:{'|'.join(sorted(self.types(name))) or 'any'}"
        if name in self._required:
            return declared
        default = self._properties[name].get("default")
        return f"{declared}={json.dumps(default, ensure_ascii=False)}"


def read_params(pairs: Sequence[str], whole: str | None, schema: ParamsSchema) -> dict[str, Any]:
    """Return the params that the arguments give.

    Parameters:
        pairs: ``key=value`` arguments; they override params of ``whole``.
        whole: a JSON object, ``@FILE``, or ``-`` for standard input.
        schema: the schema of the handler's params.

    Raises:
        UsageError: an argument is invalid, or a file cannot be read.
    """
    params = {} if whole is None else _object(text_of("@-" if whole == "-" else whole))
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not (name and equals):
            raise click.UsageError(f"{pair!r} is not a param: write key=value")
        name = _utf8(name)
        params[name] = schema.value(name, text_of(text))
    return params


def text_of(argument: str) -> str:
    """Return the text of an argument, from the file that it names if it begins with ``@``."""
    if not argument.startswith("@"):
        return _utf8(argument)
    if argument.startswith("@@"):
        return _utf8(argument[1:])
    source = "standard input" if argument == "@-" else argument[1:]
    try:
        return _content(argument[1:]).decode()
    except OSError as error:
        raise click.UsageError(f"cannot read {source}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{source} is not UTF-8") from error


def _content(source: str) -> bytes:
    """Read a file of at most ``FILE_BYTES_MAX``, or standard input for ``-``."""
    with os.fdopen(STDIN, "rb", closefd=False) if source == "-" else Path(source).open("rb") as opened:
        content = opened.read(FILE_BYTES_MAX + 1)
    if len(content) > FILE_BYTES_MAX:
        raise click.UsageError(f"{source} is longer than {FILE_BYTES_MAX} bytes")
    return content


def _utf8(argument: str) -> str:
    try:
        return utf8(argument)
    except ValueError as error:
        raise click.UsageError(f"{argument!r} is not UTF-8") from error


def _object(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        raise click.UsageError(f"--params must be a JSON object: {malformed(error, 'it')}") from error
