"""``LogFiles``: the logs of all attempts whose records are kept, within their bounds.

A log is made at the first byte of an attempt's output, so a task without output costs nothing. All logs together stay
within ``logs_bytes_max``: before a write would exceed it, the logs of the oldest finished task are deleted, then those
of ended attempts of tasks that are to be retried. If that is not enough, the log that needs the room is given up, and
only the tail of its output is kept, in the task's record. The same happens after a write that failed. So a log never
stops a task.

The files of a task go when its record goes. A store of one process reports that at once. In addition, a *sweep* looks
up the records of some logs at a time, with a pause between; it finds what an earlier process has left, and tasks that
ended on other nodes of a shared store.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from itertools import groupby
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import trio

from ..errors import ExpiredTaskError, StoreUnavailableError, UnknownTaskError
from ..limits.times import LOGS_CLOSE_SECONDS_MAX, LOGS_OPEN_SECONDS_MAX
from ..stores import Watcher
from ..task import Finished, Record, Running, format_task_id
from .attempt_log import AttemptLog
from .bounds import DEFAULT_BOUNDS, LogBounds
from .directory import Directory
from .segments import FoundSegment, find_segments, remove
from .writer import BACKLOG_BYTES_MAX, FileWriter

SWEEP_SECONDS: Final = 60.0
SWEEP_TASKS_MAX: Final = 100
"""How many records a sweep looks up in a row."""


class Records(Protocol):
    """Where a sweep looks up the records of tasks: a store."""

    async def get(self, task_id: str) -> Record: ...


class LogStatistics(NamedTuple):
    """A snapshot of the logs.

    Parameters:
        bytes: the size of all files.
        logs: the number of logs.
        given_up: how many logs were given up, because there was no room or a write failed.
        removed: how many logs were deleted before their records, to make room for others.
        trimmed: how many logs have lost their middle, because they were too long.
    """

    bytes: int = 0
    logs: int = 0
    given_up: int = 0
    removed: int = 0
    trimmed: int = 0


class LogFiles:
    """The logs of one process.

    Parameters:
        place: where the files are.
        bounds: the bounds on their sizes.
        node: the name of this process among those that share a store; empty for a store of one process.
        on_trouble: called with the reason when a log is given up, and with ``None`` once a later log was written.
    """

    def __init__(
        self,
        place: Directory,
        bounds: LogBounds = DEFAULT_BOUNDS,
        *,
        node: str = "",
        on_trouble: Callable[[str | None], None] = lambda _: None,
    ) -> None:
        self.bounds: LogBounds = bounds
        self.node: str = node
        self.thread: int = 0
        self.writer: FileWriter = FileWriter()
        self.writing: dict[int, AttemptLog] = {}
        """The logs of attempts that run here, by serial."""
        self.begun_one: trio.Event = trio.Event()
        """Set, and replaced, when a log begins."""
        self._place = place
        self._on_trouble = on_trouble
        # The kept logs of each task, by serial and number of the attempt.
        self._kept: dict[int, dict[int, AttemptLog]] = {}
        # The tasks that have ended, and those with an ended attempt that have not, in the order of these events.
        self._finished: dict[int, None] = {}
        self._between: dict[int, None] = {}
        self._bytes = 0
        self._given_up = 0
        self._removed = 0
        self.trimmed: int = 0
        """How many logs have lost their middle. The logs count it."""
        self._trouble: str | None = None
        self._usable = False
        self._run_soon: Callable[..., None] = lambda *_: None

    @property
    def directory(self) -> Path:
        """The directory of the files."""
        return self._place.path

    # Lifetime

    @asynccontextmanager
    async def opened(self, records: Records) -> AsyncIterator[None]:
        """Keep logs inside this context."""
        self.thread = threading.get_ident()
        self._run_soon = trio.lowlevel.current_trio_token().run_sync_soon
        async with trio.open_nursery() as nursery:
            await self._adopt()
            await nursery.start(self.writer.run)
            nursery.start_soon(self._sweep_for_ever, records)
            try:
                yield
            finally:
                self._usable = False
                self.writer.close()
                with trio.move_on_after(LOGS_CLOSE_SECONDS_MAX, shield=True):
                    await self.writer.until_done()
                    await trio.to_thread.run_sync(self._place.close, abandon_on_cancel=True)
                nursery.cancel_scope.cancel()

    async def _adopt(self) -> None:
        """Take over the files of an earlier process. Without a usable directory, no log is kept."""
        with trio.move_on_after(LOGS_OPEN_SECONDS_MAX):
            try:
                found, invalid = await trio.to_thread.run_sync(self._look, abandon_on_cancel=True)
                await trio.to_thread.run_sync(remove, invalid, abandon_on_cancel=True)
            except OSError as error:
                self._report(f"{self._place.path}: {error.strerror}")
                return
            for _, segments in groupby(found, key=lambda one: (one.serial, one.attempt)):
                self._take_over(list(segments))
            self._usable = True
            return
        self._report(f"{self._place.path}: the disk did not answer in time")

    def _look(self) -> tuple[list[FoundSegment], list[Path]]:
        self._place.open()
        found, invalid = find_segments(self._place.path)
        newest: dict[int, float] = {}
        for one in found:
            newest[one.serial] = max(newest.get(one.serial, 0.0), one.changed_at)
        found.sort(key=lambda one: (newest[one.serial], one.serial, one.attempt, one.number))
        return found, invalid

    def _take_over(self, found: list[FoundSegment]) -> None:
        log = AttemptLog.of_earlier_process(self, found)
        self._bytes += sum(one.size for one in found)
        self._kept.setdefault(log.serial, {})[log.attempt] = log
        self._between[log.serial] = None

    # Attempts

    def open(self, running: Running) -> AttemptLog:
        """Return the log of an attempt. It begins with the first byte of output."""
        attempt = len(running.attempts) + 1
        return AttemptLog(self, running.serial, attempt, running.submitted_at, token=running.token)

    def begin(self, log: AttemptLog) -> None:
        """Begin a log. One that an earlier run of the attempt has left, before a release, is deleted."""
        logs = self._kept.setdefault(log.serial, {})
        if (earlier := logs.get(log.attempt)) is not None:
            log.next_number = earlier.next_number
            earlier.drop()
        log.dropped = not self._usable
        logs[log.attempt] = self.writing[log.serial] = log
        self._between.pop(log.serial, None)
        self.begun_one.set()
        self.begun_one = trio.Event()

    def end(self, running: Running) -> None:
        """Note that an attempt has ended."""
        log = self.writing.get(running.serial)
        if log is None or log.token != running.token:
            return
        del self.writing[running.serial]
        log.end()
        if log.dropped:
            self._discard(log)
            return
        self._report(None)
        if running.serial not in self._finished:
            self._between[running.serial] = None

    def find(self, record: Record, attempt: int) -> AttemptLog | None:
        """Return the log of an attempt, or ``None`` if it has none here."""
        log = self._kept.get(record.serial, {}).get(attempt)
        return None if log is None or log.dropped or log.submitted_at != record.submitted_at else log

    # Records

    def watching(self, watcher: Watcher) -> Watcher:
        """Return a watcher that also notifies the logs of endings, and of records that are gone."""

        def changed(records: Sequence[Record]) -> None:
            watcher.changed(records)
            if self._kept:
                self.note(records)

        return watcher._replace(changed=changed, forgotten=self.forget)

    def note(self, records: Iterable[Record]) -> None:
        """Note which of these tasks have ended."""
        for record in records:
            if record.serial in self._kept and type(record) is Finished:
                self._between.pop(record.serial, None)
                self._finished.setdefault(record.serial)

    def forget(self, serials: Iterable[int]) -> None:
        """Delete the logs of tasks whose records are gone."""
        for serial in serials:
            if (logs := self._kept.pop(serial, None)) is not None:
                self._finished.pop(serial, None)
                self._between.pop(serial, None)
                self.writing.pop(serial, None)
                for log in logs.values():
                    log.drop()

    async def _sweep_for_ever(self, records: Records) -> None:
        while True:
            await self.sweep(records)
            await trio.sleep(SWEEP_SECONDS)

    async def sweep(self, records: Records) -> None:
        """Look up the record of each log that is not being written; delete the logs of those that are gone."""
        for number, serial in enumerate([serial for serial in self._kept if serial not in self.writing], 1):
            try:
                record = await records.get(format_task_id(serial))
            except (UnknownTaskError, ExpiredTaskError):
                self._forget_unless_writing(serial)
            except StoreUnavailableError:
                return
            else:
                if any(log.submitted_at != record.submitted_at for log in self._kept.get(serial, {}).values()):
                    self._forget_unless_writing(serial)
                self.note([record])
            if number % SWEEP_TASKS_MAX == 0:
                await trio.sleep(1)

    def _forget_unless_writing(self, serial: int) -> None:
        if serial not in self.writing:
            self.forget([serial])

    # Room

    def reserve(self, log: AttemptLog, size: int) -> bool:
        """Take room for bytes of a log. Return ``False`` if the bounds leave no room: then the log was given up."""
        if self.writer.backlog > BACKLOG_BYTES_MAX:
            self.give_up(log, "the disk is too slow")
            return False
        while self._bytes + size > self.bounds.logs_bytes_max:
            if (serial := self._oldest_but(log.serial)) is None:
                self.give_up(log, "logs_bytes_max is reached, and there is no log of a finished task to remove")
                return False
            self._removed += len(self._kept[serial])
            self.forget([serial])
        self._bytes += size
        return True

    def _oldest_but(self, serial: int) -> int | None:
        return next((oldest for kept in (self._finished, self._between) for oldest in kept if oldest != serial), None)

    def release(self, size: int) -> None:
        """Give room back."""
        self._bytes -= size

    def give_up(self, log: AttemptLog, reason: str) -> None:
        """Keep no log of an attempt any more, for a reason that the operator should know."""
        if not log.dropped:
            log.drop()
            self._given_up += 1
            self._report(reason)
            if log.ended:
                self._discard(log)

    def _discard(self, log: AttemptLog) -> None:
        logs = self._kept.get(log.serial, {})
        if logs.get(log.attempt) is log:
            del logs[log.attempt]
            if not logs:
                self.forget([log.serial])

    def _report(self, trouble: str | None) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            self._on_trouble(trouble)

    def run_soon(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call a function in the loop's thread. After the end of the loop, nothing is called."""
        with suppress(trio.RunFinishedError):
            self._run_soon(function, *arguments)

    def statistics(self) -> LogStatistics:
        """Return a snapshot."""
        logs = sum(map(len, self._kept.values()))
        return LogStatistics(self._bytes, logs, self._given_up, self._removed, self.trimmed)

    def __repr__(self) -> str:
        now = self.statistics()
        return f"<LogFiles {now.logs} logs, {now.bytes} of {self.bounds.logs_bytes_max} bytes>"


def opened(logs: LogFiles | None, records: Records) -> AbstractAsyncContextManager[None]:
    """Return a context in which logs are kept, if there are any."""
    return nullcontext() if logs is None else logs.opened(records)


def watching(logs: LogFiles | None, watcher: Watcher) -> Watcher:
    """Return a watcher that also notifies the logs, if there are any."""
    return watcher if logs is None else logs.watching(watcher)
