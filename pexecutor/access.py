"""Tokens and their scopes: who may do what.

A token is ``pex_``, by which secret scanners find leaked tokens, and 32 random bytes. The settings file contains only
the SHA-256 of a token, so a reader of that file cannot use the token.

A plain SHA-256 is enough. Slow and salted hashes protect secrets that can be guessed: NIST SP 800-63B (section 5.1.2.2)
requires them below 112 bits, and a token has 256. To keep it so, a text without the format of a token is refused before
the lookup. So the hash of a self-chosen password in the settings file grants nothing.

A presented token is compared with every configured hash, each in constant time, so timing does not reveal a match.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Mapping
from hashlib import sha256
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from .errors import ConfigError
from .validation import table_from

Scope = Literal["read", "submit", "admin"]

SCOPES: Final[tuple[Scope, ...]] = ("read", "submit", "admin")
"""The scopes, in rising order: a scope includes all scopes before it."""

TOKEN_PREFIX: Final = "pex_"
TOKEN_RANDOM_BYTES: Final = 32

_TOKEN: Final = re.compile(rf"{TOKEN_PREFIX}[A-Za-z0-9_-]{{43}}")
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Identity(msgspec.Struct, frozen=True):
    """The identity of a caller.

    Parameters:
        name: the name of the caller's token, for the log.
        scope: the scope of the token.
        sha256: the hash of the token, which tells a token from a later one with the same name.
    """

    name: str
    scope: Scope
    sha256: str = ""

    def may(self, needed: Scope) -> bool:
        """Return whether the identity may use a route that needs this scope."""
        return SCOPES.index(self.scope) >= SCOPES.index(needed)


ANONYMOUS: Final = Identity("anonymous", "admin")
"""The identity of every caller if no token is configured."""


class TokenSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A token's table in the configuration file.

    Parameters:
        sha256: the SHA-256 of the whole token, in hexadecimal digits.
        scope: the scope of the token.
    """

    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    scope: Scope


class Tokens:
    """The configured tokens.

    Parameters:
        tables: the tables of the tokens, by name.

    Raises:
        ConfigError: a table is invalid. The message names the table and shows no value.
    """

    def __init__(self, tables: Mapping[str, Any]) -> None:
        self._hashes: dict[str, Identity] = {}
        for name, table in tables.items():
            check_token_name(name)
            settings = table_from(table, TokenSettings, f"tokens.{name}")
            if settings.sha256 in self._hashes:
                raise ConfigError(f"tokens.{name} has the sha256 of tokens.{self._hashes[settings.sha256].name}")
            self._hashes[settings.sha256] = Identity(name, settings.scope, settings.sha256)

    def __len__(self) -> int:
        return len(self._hashes)

    def __contains__(self, identity: object) -> bool:
        """Return whether an identity belongs to one of these tokens, with the same name and scope."""
        return isinstance(identity, Identity) and self._hashes.get(identity.sha256) == identity

    def identify(self, token: str) -> Identity | None:
        """Return the identity of a token, or ``None`` if the token is unknown."""
        if not _TOKEN.fullmatch(token):
            return None
        presented, found = hash_token(token), None
        for known, identity in self._hashes.items():
            if hmac.compare_digest(known, presented):
                found = identity
        return found


def new_token() -> str:
    """Return a new random token."""
    return TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_RANDOM_BYTES)


def hash_token(token: str) -> str:
    """Return the hash of a token, as in the settings file."""
    return sha256(token.encode()).hexdigest()


def check_token_name(name: str) -> None:
    """Raise ``ConfigError`` if a name is not a valid name of a token."""
    if name.startswith(TOKEN_PREFIX):
        raise ConfigError("the name of a token appears in the log, so it must not be the token itself")
    if not _NAME.fullmatch(name) or name == ANONYMOUS.name:
        raise ConfigError(f"invalid token name {name[:64]!r}: use 1 to 64 letters, digits, - and _")
