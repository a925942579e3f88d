"""Objects that answer with anything, as an operator's own code may; and strategies for them."""

# They do what a linter is there to find.
# ruff: noqa: N818, PLE0303, PLE0307
from __future__ import annotations

import os
from typing import Any, Final

from hypothesis import strategies as st

EXAMPLES: Final = int(os.environ.get("HYPOTHESIS_EXAMPLES", "200"))
"""How many of each are tried; by hand, 10,000."""

any_text = st.text(st.characters(exclude_categories=()))
"""Lone surrogates and control characters as well."""


class RaisesAtEverything(Exception):
    """An error whose every answer is another error."""

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
    """A text that answers with something else."""

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
    """A metaclass whose classes do not tell their name."""

    @property
    def __name__(cls) -> Any:  # type: ignore[override]
        raise SystemExit


class FalseGroup(ExceptionGroup[ValueError]):
    """A group that claims to hold itself, and cannot be split."""

    @property
    def exceptions(self) -> Any:
        return [self]

    def split(self, *_: Any) -> Any:
        raise SystemExit


any_number = st.floats() | st.integers() | st.decimals() | st.fractions() | st.booleans()
any_object = any_number | any_text | st.binary() | st.none() | st.builds(object) | st.builds(RaisesAtEverything)
