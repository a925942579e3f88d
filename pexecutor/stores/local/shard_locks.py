"""``ShardLocks``: a lock for each of many shards, of which any number is taken at once.

A set of shards is one number, with a bit for each: so a thousand locks are taken, or found to be taken, in one step,
and many shards cost no more than few. Who finds one of his taken stands in line, and takes none before he can take all:
nobody waits for a lock while he has another, so no two can wait for each other.

The line is fair: who comes later does not overtake where he needs a shard that somebody before him waits for.
"""

from __future__ import annotations

from types import TracebackType

import trio


class ShardLocks:
    """Locks of shards. A set of them is a number: shard ``n`` is the bit ``1 << n``."""

    def __init__(self) -> None:
        # Changed by take() and give_back(): what is taken, who waits in which order, and for which shards in all.
        self.taken: int = 0
        self._line: list[ShardsTaken] = []
        self._awaited = 0

    def locked(self, shards: int) -> ShardsTaken:
        """An async context in which the caller has these shards."""
        return ShardsTaken(self, shards)

    def waiting(self) -> int:
        """How many stand in line."""
        return len(self._line)

    def take(self, turn: ShardsTaken) -> bool:
        """Take the shards of a turn, or stand in line for them."""
        if turn.shards & (self.taken | self._awaited):
            self._line.append(turn)
            self._awaited |= turn.shards
            return False
        self.taken |= turn.shards
        return True

    def leave_line(self, turn: ShardsTaken) -> None:
        """Do not wait any longer."""
        self._line.remove(turn)
        self._serve()

    def give_back(self, shards: int) -> None:
        """Give shards back that were taken, and let those in line take theirs, as far as they can."""
        self.taken &= ~shards
        if self._line:
            self._serve()

    def _serve(self) -> None:
        line, self._line, self._awaited = self._line, [], 0
        for turn in line:
            if self.take(turn):
                turn.taken.set()


class ShardsTaken:
    """Takes some shards, waiting for them if need be, and gives them back at the end, or at a cancel in between."""

    def __init__(self, locks: ShardLocks, shards: int) -> None:
        self._locks = locks
        self.shards = shards
        self.taken: trio.Event = trio.Event()

    async def __aenter__(self) -> None:
        await trio.lowlevel.checkpoint()
        if self._locks.take(self):
            return
        try:
            await self.taken.wait()
        except BaseException:
            if self.taken.is_set():
                self._locks.give_back(self.shards)
            else:
                self._locks.leave_line(self)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._locks.give_back(self.shards)
