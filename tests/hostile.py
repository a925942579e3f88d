"""Objects with hostile behaviour, as an operator's code may return, and strategies that generate them."""

# These classes deliberately break lint rules.
# ruff: noqa: N818, PLE0303, PLE0307
from __future__ import annotations

import os
from typing import Any, Final

from hypothesis import strategies as st

EXAMPLES: Final = int(os.environ.get("HYPOTHESIS_EXAMPLES", "200"))
"""The number of examples for each test; 10,000 for manual runs."""

any_text = st.text(st.characters(exclude_categories=()))
"""Includes lone surrogates and control characters."""


class RaisesAtEverything(Exception):
    """An error whose every method raises another error."""

    def __str__(self) -> str:
        raise SystemExit(3)

    __repr__ = __bool__ = __float__ = __str__

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        raise KeyboardInterrupt


class Unreadable(Exception):
    """An error whose attributes cannot be read."""

    def __getattribute__(self, _: str) -> Any:
        raise KeyboardInterrupt


class Liar(str):
    """A string subclass whose methods return wrong values."""

    __slots__ = ()

    def __str__(self) -> str:
        return self

    def encode(self, *_: Any) -> Any:
        raise KeyboardInterrupt

    def __len__(self) -> int:
        return -1


class NoText(Exception):
    def __str__(self) -> Any:
        return 42


class Endless(Exception):
    def __str__(self) -> str:
        return str(self)


class NamelessClass(type):
    """A metaclass whose classes have no readable name."""

    @property
    def __name__(cls) -> Any:  # type: ignore[override]
        raise SystemExit


class FalseGroup(ExceptionGroup[ValueError]):
    """An exception group that claims to contain itself and cannot be split."""

    @property
    def exceptions(self) -> Any:
        return [self]

    def split(self, *_: Any) -> Any:
        raise SystemExit


any_number = st.floats() | st.integers() | st.decimals() | st.fractions() | st.booleans()
any_object = any_number | any_text | st.binary() | st.none() | st.builds(object) | st.builds(RaisesAtEverything)
