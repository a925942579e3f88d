"""Fake handlers and a fake disk, controlled by the test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import trio

from pexecutor import Record, StoreUnavailableError, Task
from pexecutor.handlers import Context
from pexecutor.stores.answers import KeyedAnswer, RequestKey
from pexecutor.stores.local.journal_protocol import NOTHING_BESIDE, BesideRecords
from pexecutor.stores.schedules import Schedule, ScheduleChange


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

    trouble = None
    after_crash = False
    repairs = (0, 0)
    lost_transactions = 0
    tag = 1

    def __init__(self, awaits: int = 2) -> None:
        self.awaits = awaits
        self.writes = 0
        self.acceptances = 0
        self.fails_at: set[int] = set()
        self.written: list[Record] = []
        self.written_answers: dict[RequestKey, KeyedAnswer] = {}
        self.written_schedules: list[ScheduleChange] = []
        self.on_write: Callable[[int], None] = lambda _: None

    @asynccontextmanager
    async def opened(
        self, current: Callable[[int], Record | None], current_schedule: Callable[[str], Schedule | None]
    ) -> AsyncIterator[tuple[int, int]]:
        yield self.tag, self.acceptances

    async def records(self) -> AsyncIterator[list[Record]]:
        yield list({record.serial: record for record in self.written}.values())

    async def schedules(self) -> tuple[list[Schedule], int]:
        latest = {change.name: change.schedule for change in self.written_schedules}
        return [schedule for schedule in latest.values() if schedule is not None], 0

    async def commit(self, changes: Sequence[Record], acceptances: int, beside: BesideRecords = NOTHING_BESIDE) -> None:
        self.writes += 1
        number = self.writes
        self.on_write(number)
        await self._turn()
        if number in self.fails_at:
            raise StoreUnavailableError(f"the disk failed at write {number}")
        self.written.extend(changes)
        self.written_schedules.extend(beside.schedules)
        if beside.answer is not None:
            self.written_answers[beside.answer.key] = beside.answer
        self.acceptances = acceptances
        await self._turn()

    async def answers(self) -> list[KeyedAnswer]:
        return list(self.written_answers.values())

    def forget(self, serials: Sequence[int]) -> None:
        pass

    def forget_answers(self, keys: Iterable[RequestKey]) -> None:
        for key in keys:
            self.written_answers.pop(key, None)

    async def _turn(self) -> None:
        for _ in range(self.awaits):
            await trio.lowlevel.checkpoint()
