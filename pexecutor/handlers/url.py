"""``UrlTemplate``: a URL with slots, each a whole segment of its path or a whole value of its query.

What fills a slot is percent-encoded, so it is data and never structure: it can reach no other host, path or parameter.
The one thing that percent-encoding leaves alone and that has a meaning in a path is a segment of dots; it is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

from ..errors import ConfigError
from .slots import Slot, parse_element, value_text

_NO_SEGMENT: Final = frozenset({"", ".", ".."})


class UrlTemplate:
    """A URL as the operator wrote it.

    Parameters:
        url: the text.
        where: how complaints name it.

    Raises:
        ConfigError: it cannot be used.
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
        self.names = list(dict.fromkeys(self._in_path + in_query))
        self.origin = f"{parts.scheme}://{parts.netloc}"

    def complaint(self, name: str, value: Any) -> str | None:
        """Why a value cannot fill a slot, or ``None``."""
        try:
            text = value_text(value)
        except ValueError as error:
            return str(error)
        if name in self._in_path and text in _NO_SEGMENT:
            return "must not be empty, `.` or `..`, as it is a segment of a path"
        return None

    def filled(self, params: Mapping[str, Any]) -> str:
        """The URL with its slots filled."""

        def encoded(element: str | Slot, safe: str) -> str:
            return (
                quote(value_text(params[element.name]), safe="") if isinstance(element, Slot) else quote(element, safe)
            )

        path = "/".join(encoded(segment, _SAFE_IN_PATH) for segment in self._segments)
        query = "&".join(f"{quote(name, safe='')}={encoded(value, '')}" for name, value in self._query)
        return urlunsplit((self._parts.scheme, self._parts.netloc, path, query, ""))


_SAFE_IN_PATH: Final = "%!$&'()*+,;=:@~"
"""What the operator may write in a literal segment and have sent as it is."""


def _check_origin(url: str, where: str) -> None:
    """Raise unless a URL says plainly where it leads, and holds no secret."""
    parts = urlsplit(url)
    fixed = parts.hostname and parts.port != 0 and not set("{ ") & set(parts.netloc)
    if parts.scheme not in ("http", "https") or not fixed or not (url.isascii() and url.isprintable()):
        raise ConfigError(f"{where} must begin with http:// or https:// and a fixed host, in printable ASCII")
    if "@" in parts.netloc:
        raise ConfigError(f"{where} must hold no user or password: they belong into a header, from the environment")
    if parts.fragment:
        raise ConfigError(f"{where} must have no fragment: it would not be sent")


def _literal(name: str) -> str:
    element = parse_element(name)
    if isinstance(element, Slot):
        raise ValueError("the name of a query parameter can be no slot")
    return element
