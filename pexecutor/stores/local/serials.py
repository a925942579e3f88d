"""``Serials``: the serials of a store, one ascending sequence for its tasks and its deliveries."""

from __future__ import annotations

from ...task import make_serial


class Serials:
    """A sequence of serials.

    Parameters:
        tag: the bits that make this store's ids differ from any other store's.
        drawn: how many serials earlier processes have drawn.
    """

    def __init__(self, tag: int, drawn: int = 0) -> None:
        self.tag = tag
        self.drawn = drawn

    def draw(self, number: int) -> range:
        """Return the next serials."""
        first = make_serial(self.tag, self.drawn + 1)
        self.drawn += number
        return range(first, first + number)

    @property
    def last(self) -> int:
        """Return the serial that was drawn last, or 0."""
        return make_serial(self.tag, self.drawn) if self.drawn else 0

    def __contains__(self, serial: int) -> bool:
        """Return whether a serial was drawn."""
        return make_serial(self.tag, 0) < serial <= make_serial(self.tag, self.drawn)
