"""``RoomWaiters``: submits that wait for room in the queue until there is room, a deadline passes or a drain begins."""

from __future__ import annotations

from collections.abc import Callable

import trio

from ..stores import Store


class RoomWaiters:
    """The submits that wait for room.

    Parameters:
        store: the store that has the queue.
        is_serving: returns whether the executor accepts tasks.
    """

    def __init__(self, store: Store, is_serving: Callable[[], bool]) -> None:
        self._store = store
        self._is_serving = is_serving
        # Changed by wait() alone; stop_waiting() cancels the scopes.
        self._scopes: set[trio.CancelScope] = set()

    def __len__(self) -> int:
        """Return how many submits wait."""
        return len(self._scopes)

    def stop_waiting(self) -> None:
        """End every wait at once: a drain has begun."""
        for scope in self._scopes:
            scope.cancel()

    async def wait(self, least: int, most: int, deadline: float) -> int:
        """Wait for room, and return how many tasks to submit again; 0 if there was no room before the deadline."""
        if not self._is_serving():
            return most
        if trio.current_time() >= deadline:
            return 0
        places = 0
        with trio.CancelScope(deadline=deadline) as scope:
            self._scopes.add(scope)
            try:
                places = await self._store.wait_for_room(least, most)
            finally:
                self._scopes.discard(scope)
        # After a drain has begun, submitting all tasks again gives each of them the verdict Draining.
        return places if self._is_serving() else most
