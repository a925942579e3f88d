"""``Messages``: the waiting callers of one node, and the server's messages that wake them.

The messages are about work, room, ended tasks and cancelled tasks. A message can be lost with its connection, so a new
connection wakes every caller: each checks its condition again, and continues to wait if nothing has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from trio.lowlevel import ParkingLot

from .protocol import Message


class Messages:
    """The callers that wait on one node.

    Parameters:
        node: the name of the node.
        cancelled: called with the number of a task that runs on this node and was cancelled.
        missed: called when messages may have been lost.
    """

    def __init__(self, node: str, *, cancelled: Callable[[int], None], missed: Callable[[], None]) -> None:
        self.work: ParkingLot = ParkingLot()
        self.room: ParkingLot = ParkingLot()
        self._ends: dict[int, ParkingLot] = {}  # by number; entered and left by ends_of
        self._node = node
        self._cancelled = cancelled
        self._missed = missed

    def hear(self, message: str) -> None:
        """Wake the callers that a message concerns. An empty message means that messages may have been lost."""
        match message.split():
            case [Message.WORK]:
                self.work.unpark_all()
            case [Message.ROOM]:
                self.room.unpark_all()
            case [Message.ENDED, *numbers] if self._ends:
                self._wake_for_ends(map(int, numbers))
            case [Message.CANCEL, node, number] if node == self._node:
                self._cancelled(int(number))
            case []:
                self._missed()
                self.work.unpark_all()
                self.room.unpark_all()
                self._wake_for_ends(list(self._ends))

    @contextmanager
    def ends_of(self, number: int) -> Iterator[ParkingLot]:
        """Return a place to wait for the end of a task."""
        lot = self._ends.setdefault(number, ParkingLot())
        try:
            yield lot
        finally:
            if not lot and self._ends.get(number) is lot:  # the last caller that waits for this task
                del self._ends[number]

    def _wake_for_ends(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            if (lot := self._ends.get(number)) is not None:
                lot.unpark_all()
