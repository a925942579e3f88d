"""Secrets that an HTTP call sends, and how they are taken out of what is kept of its answer.

A server that repeats a request rarely repeats it as it was: in JSON, in HTML, percent-encoded, or in base64 with what
stood before it (``user:secret``). So a secret is looked for character by character, each in any of its escapes, and in
base64 at each of the three places in a group where it can begin. Where an answer is cut off, the beginning of a
secret at its end is taken out, too.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final

CHARACTERS_MIN: Final = 4
"""A shorter secret is not taken out: it would be found in everything."""

VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""A reference to an environment variable in the value of a header."""

INSTEAD: Final = b"***"
REPEATED_MAX: Final = 8
"""How often a character may have been escaped. It is bounded for the sake of texts of a million backslashes."""

_NAMED: Final = {"&": b"amp", "<": b"lt", ">": b"gt", '"': b"quot", "'": b"apos"}
_BEGUN_ESCAPE: Final = re.compile(rb"\\+(?:u[0-9a-fA-F]{0,3}|x[0-9a-fA-F]?)?|%(?:25)*(?:2|[0-9a-fA-F])?|&[#0-9A-Za-z]*")
_SENSITIVE: Final = re.compile(r"auth|cookie|key|pass|secret|sign|token|credential", re.IGNORECASE)
"""The names of headers whose values are secret although they stand in the settings file."""


def secrets_in(headers: Mapping[str, str], environment: Mapping[str, str]) -> set[str]:
    """Return what of the headers is secret: environment variables, credentials, and a password in base64."""
    found: set[str] = set()
    for name, value in headers.items():
        variables = VARIABLE.findall(value)
        found |= {environment[variable] for variable in variables}
        if variables or _SENSITIVE.search(name):
            found |= _credentials(name, VARIABLE.sub(lambda variable: environment[variable[1]], value).strip())
    return {secret for one in found if len(secret := one.strip()) >= CHARACTERS_MIN}


def _credentials(name: str, value: str) -> set[str]:
    """What is secret in the value of a header, besides variables in it."""
    if name.lower().endswith("authorization"):
        scheme, _, credentials = value.partition(" ")
        return {credentials or scheme} | (_basic(credentials) if scheme.lower() == "basic" else set())
    if name.lower() == "cookie":
        return {pair.partition("=")[2] for pair in value.split(";")}
    return {value} if _SENSITIVE.search(name) else set()


def _basic(credentials: str) -> set[str]:
    """The user with the password, and the password, of HTTP Basic authentication."""
    with suppress(binascii.Error, UnicodeDecodeError):
        both = b64decode(credentials, validate=True).decode()
        return {both, both.partition(":")[2]}
    return set()


class Secrets:
    """Takes secrets out of answers.

    Parameters:
        secrets: what must not be kept.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        ordered = sorted(secrets, key=len, reverse=True)  # a longer one first, of which another may be a part
        forms = [[_escaped(character) for character in secret] for secret in ordered]
        forms += [form for secret in ordered for form in _in_base64(secret)]
        self._forms = [list(map(re.compile, form)) for form in forms]
        self._anywhere = re.compile(b"|".join(b"".join(form) for form in forms)) if forms else None
        self._bytes_max = max((16 * len(form) for form in forms), default=0)

    def out_of(self, text: bytes, *, is_whole: bool = True, kept_bytes: int | None = None) -> bytes:
        """Return a text without secrets.

        Parameters:
            is_whole: whether the text ends where its author has ended it.
            kept_bytes: how much of its end is kept; what is certain to be dropped may come back as it is.
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
    """Whether a text ends within the secret that begins at this place."""
    begin = place
    for character in form:
        if place == len(text) or (place > begin and _BEGUN_ESCAPE.fullmatch(text, place)):
            return True
        if (match := character.match(text, place)) is None:
            return False
        place = match.end()
    return False


def _escaped(character: str, *others: str) -> bytes:
    """A pattern of one character in any of its usual escapes; ``others`` may stand in its place."""
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
    """Patterns of a secret in base64, as far as it does not depend on what stands around it."""
    forms = []
    for before in range(3):
        encoded = b64encode(bytes(before) + secret.encode()).decode()
        certain = encoded[-(-8 * before // 6) : 8 * (before + len(secret.encode())) // 6]
        forms.append([_escaped(one, *{"+": "-", "/": "_"}.get(one, "")) for one in certain])
    return forms
