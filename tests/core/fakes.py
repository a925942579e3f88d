"""Handlers and a disk that do what a test tells them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio

from pexecutor import Record, Running, StoreUnavailableError


class Gate:
    """A handler that works until the test lets it go, and notes what ran when."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.ended: list[str] = []
        self.at_work: set[str] = set()
        self.most_at_work = 0
        self._open = trio.Event()

    async def __call__(self, context: Running, /, *, duration: int) -> None:
        name = context.task.name
        assert name not in self.at_work, "two runs of one name at once"
        self.started.append(name)
        self.at_work.add(name)
        self.most_at_work = max(self.most_at_work, len(self.at_work))
        try:
            await self._open.wait()
            self.ended.append(name)
        finally:
            self.at_work.discard(name)

    def open(self) -> None:
        self._open.set()


class FakeDisk:
    """A commit that takes some awaits, and fails when it is told to.

    ``on_write`` is called with the number of the write, from 1, once the write has been asked for.
    """

    def __init__(self, awaits: int = 2) -> None:
        self.awaits = awaits
        self.writes = 0
        self.fails_at: set[int] = set()
        self.written: list[Record] = []
        self.on_write: Callable[[int], None] = lambda _: None

    async def __call__(self, changes: Sequence[Record]) -> None:
        self.writes += 1
        number = self.writes
        self.on_write(number)
        for _ in range(self.awaits):
            await trio.lowlevel.checkpoint()
        if number in self.fails_at:
            raise StoreUnavailableError(f"the disk failed at write {number}")
        self.written.extend(changes)
