"""Find the secrets that an HTTP call sends, and remove them from the part of a response that is kept.

A server that repeats a request often encodes it: as JSON, HTML, percent-encoding, or base64 together with other text
(``user:secret``). So the search matches each character of a secret in any of its escapes. In base64 it searches for the
secret at each of the three offsets within a group. If a response is cut off, the beginning of a secret at its end is
removed as well.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final

CHARACTERS_MIN: Final = 4
"""The length of the shortest secret that is removed. A shorter text would match ordinary words."""

VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""A reference to an environment variable in the value of a header."""

INSTEAD: Final = b"***"
REPEATED_MAX: Final = 8
"""How many times a character may be escaped. The bound keeps a text of a million backslashes from slowing the
search."""

_NAMED: Final = {"&": b"amp", "<": b"lt", ">": b"gt", '"': b"quot", "'": b"apos"}
_BEGUN_ESCAPE: Final = re.compile(rb"\\+(?:u[0-9a-fA-F]{0,3}|x[0-9a-fA-F]?)?|%(?:25)*(?:2|[0-9a-fA-F])?|&[#0-9A-Za-z]*")
_SENSITIVE: Final = re.compile(r"auth|cookie|key|pass|secret|sign|token|credential", re.IGNORECASE)
"""Names of headers whose values are secret even if they are written in the configuration file."""


def secrets_in(headers: Mapping[str, str], environment: Mapping[str, str]) -> set[str]:
    """Return the secrets in headers: environment variables, credentials, and passwords in base64."""
    found: set[str] = set()
    for name, value in headers.items():
        variables = VARIABLE.findall(value)
        found |= {environment[variable] for variable in variables}
        if variables or _SENSITIVE.search(name):
            found |= _credentials(name, VARIABLE.sub(lambda variable: environment[variable[1]], value).strip())
    return {secret for text in found if len(secret := text.strip()) >= CHARACTERS_MIN}


def _credentials(name: str, value: str) -> set[str]:
    """Return the secrets in the value of a header, in addition to the variables in it."""
    if name.lower().endswith("authorization"):
        scheme, _, credentials = value.partition(" ")
        return {credentials or scheme} | (_basic(credentials) if scheme.lower() == "basic" else set())
    if name.lower() == "cookie":
        return {pair.partition("=")[2] for pair in value.split(";")}
    return {value} if _SENSITIVE.search(name) else set()


def _basic(credentials: str) -> set[str]:
    """Return ``user:password`` and the password of HTTP Basic authentication."""
    with suppress(binascii.Error, UnicodeDecodeError):
        both = b64decode(credentials, validate=True).decode()
        return {both, both.partition(":")[2]}
    return set()


class Secrets:
    """A search that removes secrets from responses.

    Parameters:
        secrets: the texts to remove.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        ordered = sorted(secrets, key=len, reverse=True)  # longest first: a secret may contain another
        forms = [[_escaped(character) for character in secret] for secret in ordered]
        forms += [form for secret in ordered for form in _in_base64(secret)]
        self._forms = [list(map(re.compile, form)) for form in forms]
        self._anywhere = re.compile(b"|".join(b"".join(form) for form in forms)) if forms else None
        self._bytes_max = max((16 * len(form) for form in forms), default=0)

    @property
    def is_empty(self) -> bool:
        """Return whether there are no secrets, so that nothing is removed."""
        return self._anywhere is None

    def out_of(self, text: bytes, *, is_whole: bool = True, kept_bytes: int | None = None) -> bytes:
        """Return a text without its secrets.

        Parameters:
            is_whole: whether the text is complete; if not, it may end within a secret.
            kept_bytes: how many bytes of the end the caller keeps; earlier bytes may be returned without a search.
        """
        if self._anywhere is None:
            return text
        begin = 0 if kept_bytes is None else max(0, len(text) - 2 * (kept_bytes + self._bytes_max))
        clean = self._anywhere.sub(INSTEAD, text[begin:])
        if begin and len(clean) < (kept_bytes or 0) + self._bytes_max:  # a secret may have been cut at the beginning
            begin, clean = 0, self._anywhere.sub(INSTEAD, text)
        return text[:begin] + (clean if is_whole else self._without_begun(clean))

    def _without_begun(self, text: bytes) -> bytes:
        """Return a text without the beginning of a secret at its end."""
        for begin in range(max(0, len(text) - self._bytes_max), len(text)):
            if any(_ends_within(form, text, begin) for form in self._forms):
                return text[:begin] + INSTEAD
        return text


def _ends_within(form: list[re.Pattern[bytes]], text: bytes, place: int) -> bool:
    """Return whether a text ends within the secret that begins at ``place``."""
    begin = place
    for character in form:
        if place == len(text) or (place > begin and _BEGUN_ESCAPE.fullmatch(text, place)):
            return True
        if (match := character.match(text, place)) is None:
            return False
        place = match.end()
    return False


def _escaped(character: str, *others: str) -> bytes:
    """Return a pattern that matches a character in any of its usual escapes, or one of ``others`` instead."""
    code = ord(character)
    digits = b"".join(b"[%c%c]" % (digit.lower().encode(), digit.upper().encode()) for digit in f"{code:02x}")
    written = [
        rb"\\{1,%d}(?:u00|x)%b" % (REPEATED_MAX, digits),
        b"%%(?:25){0,%d}%b" % (REPEATED_MAX, digits),
        b"&#(?:0{0,%d}%d|[xX]0{0,%d}%b);" % (REPEATED_MAX, code, REPEATED_MAX, digits),
    ]
    if character in _NAMED:
        written.append(b"&%b;" % _NAMED[character])
    written += [re.escape(one).encode() for one in others]
    match character:
        case "\\":
            written.append(rb"\\{1,%d}" % REPEATED_MAX)
        case '"' | "/" | "'":
            written.append(rb"\\{0,%d}" % REPEATED_MAX + re.escape(character).encode())
        case " ":
            written.append(rb"[ +]")
        case _:
            written.append(re.escape(character).encode())
    return b"(?:%b)" % b"|".join(written)


def _in_base64(secret: str) -> list[list[bytes]]:
    """Return patterns for a secret in base64: the characters that do not depend on the text around it."""
    forms = []
    for before in range(3):
        encoded = b64encode(bytes(before) + secret.encode()).decode()
        certain = encoded[-(-8 * before // 6) : 8 * (before + len(secret.encode())) // 6]
        forms.append([_escaped(one, *{"+": "-", "/": "_"}.get(one, "")) for one in certain])
    return forms
