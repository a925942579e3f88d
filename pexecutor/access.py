"""Who may do what: tokens, their scopes, and what the server knows of them.

A token is ``pex_`` (by which secret scanners find one that got lost) and 32 random bytes. The file of settings has its
SHA-256 alone, so whoever reads that file can do nothing with it.

A plain SHA-256 is right here. Slow and salted hashes make up for secrets that can be guessed; NIST SP 800-63B (section
5.1.2.2) asks for them below 112 bits, and here are 256. So that it stays that way, what does not look like a token is
refused before it is looked up: the hash of a password of somebody's own in the file opens nothing.

Every configured hash is compared, each in constant time, whichever is the right one.
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

Scope = Literal["read", "submit", "admin"]

SCOPES: Final[tuple[Scope, ...]] = ("read", "submit", "admin")
"""Each may do what those before it may."""

TOKEN_PREFIX: Final = "pex_"
TOKEN_RANDOM_BYTES: Final = 32

_TOKEN: Final = re.compile(rf"{TOKEN_PREFIX}[A-Za-z0-9_-]{{43}}")
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Identity(msgspec.Struct, frozen=True):
    """Who asks: the name of a token, for the log, and what it may do."""

    name: str
    scope: Scope

    def may(self, needed: Scope) -> bool:
        """Whether what needs this scope is allowed."""
        return SCOPES.index(self.scope) >= SCOPES.index(needed)


ANONYMOUS: Final = Identity("anonymous", "admin")
"""Everybody, where no token is configured."""


class TokenSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A token's table in the configuration file.

    Parameters:
        sha256: the hash of the whole token, in hexadecimal digits.
        scope: what it may do.
    """

    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    scope: Scope


class Tokens:
    """The tokens that are configured.

    Parameters:
        tables: their tables, by name.

    Raises:
        ConfigError: a table cannot be used; says which and why, and shows no value.
    """

    def __init__(self, tables: Mapping[str, Any]) -> None:
        self._hashes: dict[str, Identity] = {}
        for name, table in tables.items():
            check_token_name(name)
            settings = _settings(name, table)
            if settings.sha256 in self._hashes:
                raise ConfigError(f"tokens.{name} has the sha256 of tokens.{self._hashes[settings.sha256].name}")
            self._hashes[settings.sha256] = Identity(name, settings.scope)

    def __len__(self) -> int:
        return len(self._hashes)

    def identify(self, token: str) -> Identity | None:
        """Whose token this is, or ``None`` when it is nobody's."""
        if not _TOKEN.fullmatch(token):
            return None
        presented, found = hash_token(token), None
        for known, identity in self._hashes.items():
            if hmac.compare_digest(known, presented):
                found = identity
        return found


def new_token() -> str:
    """A token that nobody has had before."""
    return TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_RANDOM_BYTES)


def hash_token(token: str) -> str:
    """What the file of settings has of a token."""
    return sha256(token.encode()).hexdigest()


def check_token_name(name: str) -> None:
    """Raise ``ConfigError`` for what cannot be the name of a token."""
    if name.startswith(TOKEN_PREFIX):
        raise ConfigError("the name of a token is said in the log, so it must not be the token itself")
    if not _NAME.fullmatch(name) or name == ANONYMOUS.name:
        raise ConfigError(f"{name[:64]!r} cannot be the name of a token: take 1 to 64 letters, digits, - and _")


def _settings(name: str, table: Any) -> TokenSettings:
    try:
        return msgspec.convert(table, TokenSettings)
    except msgspec.ValidationError as error:
        raise ConfigError(f"tokens.{name}: {str(error).replace('Expected', 'expected', 1)}") from error
