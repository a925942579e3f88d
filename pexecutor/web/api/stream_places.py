"""``StreamPlaces``: the open streams of one kind, up to a limit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .errors import TooManyStreamsError


class StreamPlaces:
    """The places of the streams of one kind.

    Parameters:
        places_max: how many streams may be open.
        full: says what takes all places, and how one becomes free, behind the number of places.
    """

    def __init__(self, places_max: int, full: str) -> None:
        self._places_max = places_max
        self._full = full
        self._taken = 0  # owned by reserved()

    @contextmanager
    def reserved(self) -> Iterator[None]:
        """Take a place inside this context. Raises ``TooManyStreamsError``."""
        if self._taken >= self._places_max:
            raise TooManyStreamsError(f"{self._places_max} {self._full}, or try again later")
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1
