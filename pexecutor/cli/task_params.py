"""``key=value``: what is written on the command line, as what a handler takes.

The handler's JSON Schema says which type a param has. Where text would do, it is text, as it was written; otherwise it
is JSON: a number, ``true``, a list, an object. What the schema does not know goes as text. This is no second check,
only a first reading: whether it will do, the server judges.

``key=@FILE`` takes the text from a file, ``key=@-`` from standard input; ``key=@@text`` begins with one ``@``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click
import msgspec

from .streams import STDIN
from .text import utf8

FILE_BYTES_MAX: Final = 8 * 1024 * 1024
"""More than any server takes as the params of a task."""

_REFERENCE: Final = "#/$defs/"

_TYPE_OF: Final = {bool: "boolean", int: "integer", float: "number", str: "string", type(None): "null"}

_NO_SCHEMA: Final[Mapping[str, Any]] = {}


class ParamsSchema:
    """What the JSON Schema of a handler says of its params.

    Parameters:
        schema: as ``GET /handlers`` has it.
    """

    def __init__(self, schema: Mapping[str, Any] = _NO_SCHEMA) -> None:
        self._definitions = schema.get("$defs", {})
        top = self._resolved(schema)
        self._properties: Mapping[str, Any] = top.get("properties", {})
        self._required = frozenset(top.get("required", ()))

    def types(self, name: str) -> frozenset[str]:
        """The JSON types that a param may have; empty when nothing is known."""
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
        """What a text is for a param.

        Raises:
            UsageError: it should be JSON and is none.
        """
        types = self.types(name)
        if not types or "string" in types:
            return text
        try:
            return msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError) as error:
            wanted = " or ".join(sorted(types))
            raise click.UsageError(f"the param `{name}` takes {wanted}, as JSON, and not {text!r}") from error

    def signature(self) -> str:
        """All of them, as they would be declared."""
        return " ".join([self._declaration(name) for name in self._properties])

    def _declaration(self, name: str) -> str:
        declared = f"{name}:{'|'.join(sorted(self.types(name))) or 'any'}"
        if name in self._required:
            return declared
        default = self._properties[name].get("default")
        return f"{declared}={json.dumps(default, ensure_ascii=False)}"


def read_params(pairs: Sequence[str], whole: str | None, schema: ParamsSchema) -> dict[str, Any]:
    """The params that were written.

    Parameters:
        pairs: ``key=value`` each; they are put over those in ``whole``.
        whole: a JSON object, ``@FILE``, or ``-`` for standard input.
        schema: the handler's.

    Raises:
        UsageError: something is not what it should be.
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
    """What was written, or what is in the file that was."""
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
    """Read a file, or standard input for ``-``; at most so much that no server takes more."""
    with os.fdopen(STDIN, "rb", closefd=False) if source == "-" else Path(source).open("rb") as opened:
        content = opened.read(FILE_BYTES_MAX + 1)
    if len(content) > FILE_BYTES_MAX:
        raise click.UsageError(f"{source} has more than {FILE_BYTES_MAX} bytes")
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
        raise click.UsageError(f"--params takes a JSON object: {error}") from error
