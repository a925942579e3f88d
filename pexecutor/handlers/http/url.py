"""``UrlTemplate``: a URL with slots, each of which is a whole path segment or a whole query value.

A value in a slot is percent-encoded. So a query value is always data and cannot change the host, the path or another
parameter. A path needs more: percent-encoding does not change a segment of dots, and proxies decode ``%2F`` before they
resolve such segments. So slashes, backslashes and segments of dots are refused in a path, even if they are encoded
several times.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, quote, unquote, urlsplit, urlunsplit

from ...errors import ConfigError
from ..slots import Slot, parse_element, value_text

DECODINGS_MAX: Final = 5

_NO_SEGMENT: Final = frozenset({"", ".", ".."})
_NO_PART_OF_A_SEGMENT: Final = frozenset("/\\\0")


class UrlTemplate:
    """A URL with slots, as the operator wrote it.

    Parameters:
        url: the text of the URL.
        where: the name of the setting in error messages.

    Raises:
        ConfigError: the URL is invalid.
    """

    def __init__(self, url: str, where: str) -> None:
        try:
            _check_origin(url, where)
            self._parts = parts = urlsplit(url)
            self._segments = [parse_element(segment) for segment in parts.path.split("/")]
            self._query = [
                (_literal(name), parse_element(value)) for name, value in parse_qsl(parts.query, keep_blank_values=True)
            ]
        except ValueError as error:
            raise ConfigError(f"{where}: {error}") from error
        self._in_path = [segment.name for segment in self._segments if isinstance(segment, Slot)]
        in_query = [value.name for _, value in self._query if isinstance(value, Slot)]
        self.names: list[str] = list(dict.fromkeys(self._in_path + in_query))
        self.origin: str = f"{parts.scheme}://{parts.netloc}"

    def complaint(self, name: str, value: Any) -> str | None:
        """Return why a value cannot fill a slot, or ``None``."""
        try:
            text = value_text(value)
        except ValueError as error:
            return str(error)
        return _segment_complaint(text) if name in self._in_path else None

    def filled(self, params: Mapping[str, Any]) -> str:
        """Return the URL with its slots filled."""

        def encoded(element: str | Slot, safe: str) -> str:
            return (
                quote(value_text(params[element.name]), safe="") if isinstance(element, Slot) else quote(element, safe)
            )

        path = "/".join(encoded(segment, _SAFE_IN_PATH) for segment in self._segments)
        query = "&".join(f"{quote(name, safe='')}={encoded(value, '')}" for name, value in self._query)
        return urlunsplit((self._parts.scheme, self._parts.netloc, path, query, ""))


_SAFE_IN_PATH: Final = "%!$&'()*+,;=:@~"
"""Characters of a literal path segment that are sent without encoding."""


def _segment_complaint(text: str) -> str | None:
    """Return why a text cannot be a path segment, or ``None``. The text is decoded like a server might, repeatedly."""
    for _ in range(DECODINGS_MAX):
        encoded, text = text, unquote(text)
        if text == encoded:
            break
    else:
        return f"must not be percent-encoded more than {DECODINGS_MAX - 1} times, as it is a segment of a path"
    if not _NO_PART_OF_A_SEGMENT.isdisjoint(text):
        return "must not contain a slash, a backslash or a NUL, plain or percent-encoded: it is a segment of a path"
    if text.partition(";")[0].strip() in _NO_SEGMENT:
        return "must not be empty, `.` or `..`, as it is a segment of a path"
    return None


def _check_origin(url: str, where: str) -> None:
    """Raise ``ConfigError`` unless a URL has a fixed host and contains no password."""
    parts = urlsplit(url)
    fixed = parts.hostname and parts.port != 0 and not set("{ ") & set(parts.netloc)
    if parts.scheme not in ("http", "https") or not fixed or not (url.isascii() and url.isprintable()):
        raise ConfigError(f"{where} must begin with http:// or https:// and a fixed host, in printable ASCII")
    if "@" in parts.netloc:
        raise ConfigError(f"{where} must not contain a user or password: put them into a header, as ${{NAME}}")
    if parts.fragment:
        raise ConfigError(f"{where} must not have a fragment: fragments are never sent")


def _literal(name: str) -> str:
    element = parse_element(name)
    if isinstance(element, Slot):
        raise ValueError("the name of a query parameter cannot be a slot")
    return element
