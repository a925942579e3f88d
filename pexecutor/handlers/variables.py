"""Fill environment variables of the server into the value of a setting."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from ..errors import ConfigError
from .http.secrets import VARIABLE

_REFERENCE: Final = re.compile(rf"\$(\$\{{)|{VARIABLE.pattern}|\$\{{")
"""An escaped ``$${``, a reference, or the beginning of a text that is not a reference."""


def filled(text: str, environment: Mapping[str, str], where: str) -> str:
    """Return a text with the values of the variables that it names as ``${NAME}``; ``$${`` becomes ``${``.

    Parameters:
        text: the value of the setting.
        environment: the server's environment.
        where: the name of the setting in error messages.

    Raises:
        ConfigError: a variable is not set, or ``${`` does not begin a valid reference. The message shows no value.
    """

    def value_of(match: re.Match[str]) -> str:
        escaped, name = match.groups()
        if escaped is not None:
            return escaped
        if name is None:
            raise ConfigError(f"{where}: write an environment variable as ${{NAME}}, and a literal ${{ as $${{")
        if name not in environment:
            raise ConfigError(f"{where} needs the environment variable {name}, which is not set")
        return environment[name]

    return _REFERENCE.sub(value_of, text)
