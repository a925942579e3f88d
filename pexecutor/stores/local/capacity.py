"""``Room``: the hard bound, and those who wait for a place under it.

A submit reserves its places before it awaits the disk, so two submits side by side cannot both count on the last
one. Whoever waits is woken in turn, and only when there is as much room as he needs; a wake-up that came to nothing
is passed on by the ``offer()`` at the end of whatever he does next. So no place stays free while somebody waits for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import trio


class Room:
    """Counts the free places of a queue.

    Parameters:
        places: how many there are in all.
        taken: how many are taken, reserved ones not included.
    """

    def __init__(self, places: int, taken: Callable[[], int]) -> None:
        self.places = places
        self._taken = taken
        self._reserved = 0
        self._seekers: deque[_Seeker] = deque()

    def free(self) -> int:
        """How many places a submit may take now."""
        return max(0, self.places - self._taken() - self._reserved)

    @contextmanager
    def reserved(self, places: int) -> Iterator[None]:
        """Hold places back for a submit that has decided and is not yet visible."""
        self._reserved += places
        try:
            yield
        finally:
            self._reserved -= places

    async def wait(self, least: int, most: int) -> int:
        """Wait until ``least`` places are free; how many there are, at most ``most``.

        More than there are in all are never free: then it is 0, at once.
        """
        await trio.lowlevel.checkpoint()
        if least > self.places:
            return 0
        seeker = _Seeker(least, most)
        self._seekers.append(seeker)
        self.offer()
        try:
            await seeker.woken.wait()
        except trio.Cancelled:
            if not seeker.woken.is_set():
                self._seekers.remove(seeker)
            self.offer()
            raise
        return seeker.granted

    def offer(self) -> None:
        """Wake those who wait, in their order, as far as the room goes."""
        free = self.free()
        while self._seekers and self._seekers[0].least <= free:
            seeker = self._seekers.popleft()
            seeker.granted = min(free, seeker.most)
            free -= seeker.granted
            seeker.woken.set()


class _Seeker:
    """Somebody who waits. ``granted`` is set before ``woken`` is."""

    def __init__(self, least: int, most: int) -> None:
        self.least = least
        self.most = most
        self.granted = 0
        self.woken = trio.Event()
