"""What was written on the command line, as text: arguments are bytes, and the API takes UTF-8."""

from __future__ import annotations

import os
from typing import Any, Final, TypeVar

import click


def utf8(argument: str) -> str:
    """Return an argument as text. Python has read it as the locale says, which may not be UTF-8.

    Raises:
        ValueError: its bytes are not UTF-8.
    """
    try:
        argument.encode()
    except UnicodeEncodeError:
        return os.fsencode(argument).decode()
    return argument


class _Text(click.ParamType):  # type: ignore[type-arg, unused-ignore]  # generic in newer versions only
    """The text of an argument or an option."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return it as text."""
        try:
            return utf8(value)
        except ValueError:
            self.fail(f"{value!r} is not UTF-8", param, ctx)


_PATHS: Final = frozenset({"DIRECTORY", "FILE", "MODULE", "STORE"})
"""What help calls the arguments that are a path or hold one, and so may be any bytes."""

_TEXT: Final = _Text()

C = TypeVar("C", bound=click.Command)


def take_text(command: C) -> C:
    """Have a command, and those under it, refuse arguments that are not text."""
    for param in command.params:
        if param.type is click.STRING and param.metavar not in _PATHS:
            param.type = _TEXT
    if isinstance(command, click.Group):
        for other in command.commands.values():
            take_text(other)
    return command
