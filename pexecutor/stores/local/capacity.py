"""``Room``: the bound of the queue, and the callers that wait for a place.

A submit reserves its places before it awaits the disk, so two concurrent submits cannot both count on the last place.
Waiting callers are woken in order, and only when there is enough room for the first one. A woken caller may not use its
places: it is cancelled, or another submit was quicker. Each change of the room therefore ends with ``offer()``, so that
no place stays free while a caller waits for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import trio


class Room:
    """A count of the free places of a queue, with a line of waiting callers.

    Parameters:
        places: the size of the queue.
        taken: returns how many places are taken, without the reserved ones.
    """

    def __init__(self, places: int, taken: Callable[[], int]) -> None:
        if places < 1:
            raise ValueError("queue_size must be at least 1")
        self.places = places
        self._taken = taken
        self._reserved = 0
        self._seekers: deque[_Seeker] = deque()

    def free(self) -> int:
        """Return how many places a submit may take now."""
        return max(0, self.places - self._taken() - self._reserved)

    @contextmanager
    def reserved(self, places: int) -> Iterator[None]:
        """Reserve places for a submit whose decision is not yet visible."""
        self._reserved += places
        try:
            yield
        finally:
            self._reserved -= places

    async def wait(self, least: int, most: int) -> int:
        """Wait until ``least`` places are free; return how many are free, at most ``most``.

        If ``least`` exceeds the size of the queue, return 0 at once.
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
            self.offer()  # the places that this caller was granted, or waited for, may be enough for the next one
            raise
        return seeker.granted

    def offer(self) -> None:
        """Wake waiting callers, in order, as long as there is enough room for the first one."""
        free = self.free()
        while self._seekers and self._seekers[0].least <= free:
            seeker = self._seekers.popleft()
            seeker.granted = min(free, seeker.most)
            free -= seeker.granted
            seeker.woken.set()


class _Seeker:
    """A caller that waits for places. ``granted`` is set before ``woken`` is."""

    def __init__(self, least: int, most: int) -> None:
        self.least = least
        self.most = most
        self.granted = 0
        self.woken = trio.Event()
