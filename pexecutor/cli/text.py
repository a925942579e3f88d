"""Convert command-line arguments to text: arguments are bytes, and the API accepts only UTF-8."""

from __future__ import annotations

import os
from typing import Any, Final, TypeVar

import click


def utf8(argument: str) -> str:
    """Return an argument as text. Python has decoded it by the locale, which may not be UTF-8.

    Raises:
        ValueError: the bytes of the argument are not UTF-8.
    """
    try:
        argument.encode()
    except UnicodeEncodeError:
        return os.fsencode(argument).decode()
    return argument


class _Text(click.ParamType):  # type: ignore[type-arg, unused-ignore]  # generic in newer versions only
    """The type of text arguments and options."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the argument as text."""
        try:
            return utf8(value)
        except ValueError:
            self.fail(f"{value!r} is not UTF-8", param, ctx)


_PATHS: Final = frozenset({"DIRECTORY", "FILE", "MODULE", "STORE"})
"""The metavars of arguments that contain a path, and so may hold any bytes."""

_TEXT: Final = _Text()

C = TypeVar("C", bound=click.Command)


def take_text(command: C) -> C:
    """Make a command and its subcommands refuse arguments that are not UTF-8; return the command."""
    for param in command.params:
        if param.type is click.STRING and param.metavar not in _PATHS:
            param.type = _TEXT
    if isinstance(command, click.Group):
        for other in command.commands.values():
            take_text(other)
    return command
