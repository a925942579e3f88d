"""``ShardLocks``: a lock for each of many shards, any number of which is taken at once.

A set of shards is one number with a bit per shard. So a thousand locks are tested and taken in one operation, and many
shards cost no more than few. A caller that finds one of its shards taken waits in line without holding any shard, and
takes all of them together. Since no caller waits for a lock while it holds another, there are no deadlocks.

The line is fair: a caller does not overtake an earlier one that waits for one of the same shards.
"""

from __future__ import annotations

from types import TracebackType
from typing import Final

import trio

KEY_SHARDS: Final = 256
"""How many locks the keys of requests share, and the names of schedules."""


class ShardLocks:
    """Locks of shards. A set of them is a number: shard ``n`` is the bit ``1 << n``."""

    def __init__(self) -> None:
        # Changed by the methods here alone: the shards taken, the line, and all shards that the line waits for.
        self.taken: int = 0
        self._line: list[ShardsTaken] = []
        self._awaited = 0

    def locked(self, shards: int) -> ShardsTaken:
        """Return an async context in which the caller holds these shards."""
        return ShardsTaken(self, shards)

    def waiting(self) -> int:
        """Return how many callers wait in line."""
        return len(self._line)

    def take_nowait(self, shards: int) -> bool:
        """Take shards and return ``True``, or return ``False`` if one of them is taken or awaited."""
        if shards & (self.taken | self._awaited):
            return False
        self.taken |= shards
        return True

    def take(self, turn: ShardsTaken) -> bool:
        """Take the shards of a turn and return ``True``, or put the turn in line."""
        if self.take_nowait(turn.shards):
            return True
        self._line.append(turn)
        self._awaited |= turn.shards
        return False

    def leave_line(self, turn: ShardsTaken) -> None:
        """Remove a turn from the line; turns behind it may now be able to go."""
        self._line.remove(turn)
        self._serve()

    def give_back(self, shards: int) -> None:
        """Release shards, and let the turns in line take theirs where possible."""
        self.taken &= ~shards
        if self._line:
            self._serve()

    def _serve(self) -> None:
        line, self._line, self._awaited = self._line, [], 0
        for turn in line:
            if self.take(turn):
                turn.taken.set()


class ShardsTaken:
    """An async context that takes shards, waiting if necessary, and releases them at its end or when cancelled."""

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
            if self.taken.is_set():  # served and cancelled at the same time: the shards are ours already
                self._locks.give_back(self.shards)
            else:
                self._locks.leave_line(self)
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._locks.give_back(self.shards)
