"""Fake handlers and a fake disk, controlled by the test."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import trio

from pexecutor import Record, StoreUnavailableError, Task
from pexecutor.handlers import Context
from pexecutor.stores.answers import KeyedAnswer
from pexecutor.stores.local.journal_protocol import NOTHING_BESIDE, BesideKind, BesideRecords, CurrentBeside
from pexecutor.stores.local.limit_settings import LimitChange


class Doing:
    """A handler made from a function."""

    description = "a test's own"
    params_schema: ClassVar[dict[str, Any]] = {}
    ends_with_us = True

    def __init__(self, work: Callable[[Context, Task], Awaitable[Any]]) -> None:
        self._work = work

    def check(self, task: Task) -> tuple[str, str] | None:
        return ("params.bad", "`bad` is refused") if "bad" in task.params else None

    async def run(self, context: Context, task: Task) -> Any:
        return await self._work(context, task)


class Gate(Doing):
    """A handler that works until the test releases it, and records the order of its runs."""

    def __init__(self) -> None:
        super().__init__(self._wait)
        self.started: list[str] = []
        self.payloads: list[int] = []
        self.ended: list[str] = []
        self.at_work: set[str] = set()
        self.most_at_work = 0
        self._open = trio.Event()

    async def _wait(self, context: Context, task: Task) -> None:
        assert task.name not in self.at_work, "two runs of one name at once"
        self.started.append(task.name)
        self.payloads.append(task.duration)
        self.at_work.add(task.name)
        self.most_at_work = max(self.most_at_work, len(self.at_work))
        try:
            await self._open.wait()
            self.ended.append(task.name)
        finally:
            self.at_work.discard(task.name)

    def open(self) -> None:
        self._open.set()

    def close(self) -> None:
        """Hold the tasks that start from now on."""
        self._open = trio.Event()


async def fail_at_cleaning_up() -> None:
    """Work until cancelled, then raise an error."""
    try:
        await trio.sleep_forever()
    finally:
        raise LookupError("cleaning up failed")


class CleansUpBadly(Doing):
    """A handler that replaces the exception that cuts it off by an error."""

    def __init__(self) -> None:
        super().__init__(lambda _context, _task: fail_at_cleaning_up())


class FakeJournal:
    """A journal that awaits before and after each write, and fails when the test requests it.

    A store that is opened on the journal finds the written data. ``on_write`` is called with the number of the write,
    starting at 1, after the write was requested.
    """

    trouble: str | None = None
    writing_seconds = 0.0
    after_crash = False
    repairs = (0, 0)
    lost_transactions = 0
    generations = 0
    tag = 1

    def __init__(self, awaits: int = 2) -> None:
        self.awaits = awaits
        self.writes = 0
        self.acceptances = 0
        self.fails_at: set[int] = set()
        self.written: list[Record] = []
        self.beside: defaultdict[str, dict[Any, Any]] = defaultdict(dict)
        self.on_write: Callable[[int], None] = lambda _: None

    @asynccontextmanager
    async def opened(
        self, current: Callable[[int], Record | None], beside: CurrentBeside
    ) -> AsyncIterator[tuple[int, int]]:
        yield self.tag, self.acceptances

    async def records(self) -> AsyncIterator[list[Record]]:
        yield list({record.serial: record for record in self.written}.values())

    async def stored(self, kind: BesideKind) -> list[Any]:
        kept = {key: value for key, value in self.beside[kind].items() if value is not None}
        with_key = {"answers": KeyedAnswer, "limits": LimitChange}.get(kind)
        return [*kept.values()] if with_key is None else [with_key(*item) for item in kept.items()]

    async def commit(self, changes: Sequence[Record], acceptances: int, beside: BesideRecords = NOTHING_BESIDE) -> None:
        self.writes += 1
        number = self.writes
        self.on_write(number)
        await self._turn()
        if number in self.fails_at:
            raise StoreUnavailableError(f"the disk failed at write {number}")
        self.written.extend(changes)
        for kind, key, value in beside.changes():
            self.beside[kind][key] = value
        self.acceptances = acceptances
        await self._turn()

    def forget(self, serials: Sequence[int]) -> None:
        pass

    def forget_beside(self, kind: BesideKind, keys: Iterable[Hashable]) -> None:
        for key in keys:
            self.beside[kind].pop(key, None)

    async def _turn(self) -> None:
        for _ in range(self.awaits):
            await trio.lowlevel.checkpoint()
