"""``StreamPlaces``: the open streams of one kind, up to a limit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...errors import counted
from .errors import TooManyStreamsError


class StreamPlaces:
    """The places of the streams of one kind.

    Parameters:
        places_max: how many streams may be open.
        stream: what one of them is called.
        free: what to do so that one ends.
    """

    def __init__(self, places_max: int, stream: str, free: str) -> None:
        self._places_max = places_max
        self._full = f"the limit of {counted(places_max, stream)} is reached: {free}, or try again later"
        self._taken = 0  # owned by reserved()

    @contextmanager
    def reserved(self) -> Iterator[None]:
        """Take a place inside this context. Raises ``TooManyStreamsError``."""
        if self._taken >= self._places_max:
            raise TooManyStreamsError(self._full)
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1
