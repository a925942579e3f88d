"""Where the log of an attempt comes from: its files on this node, or the end of its output in the record."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec
import trio

from ...core.executor import Executor
from ...errors import PexecutorError
from ...handlers.output import Output
from ...limits import times
from ...logs.attempt_log import AttemptLog
from ...logs.reading import FileLog, Missing, Part, ReadableLog, TailLog, end_of
from ...task import Finished, Record, Running
from .client_input import ClientInput

PAUSE_SECONDS: Final = 0.05
"""The pause after new output of a followed log, so that a burst is sent together."""

LOOK_SECONDS: Final = 0.5
"""How often to look whether an attempt without a log has ended."""

_NO_OUTPUT: Final = Output()


ELSEWHERE: Final = "the task runs on another node: read its log on that node, or here after the attempt has ended"
UNREADABLE: Final = "the files of this log cannot be read (%s): only the end of the output is left, in the record"


class OpenLog(NamedTuple):
    """The log of an attempt, and why it is not the whole log; an empty reason if it is, or if no reason is known."""

    log: ReadableLog
    reason: str = ""


class LogSource:
    """The logs of an executor.

    Parameters:
        executor: the executor.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def find(self, record: Record, attempt: int) -> AttemptLog | None:
        """Return the files of an attempt, or ``None`` if this node has none."""
        return None if self._executor.logs is None else self._executor.logs.find(record, attempt)

    async def open(self, record: Record, attempt: int) -> OpenLog:
        """Return the log of an attempt, as far as this node has it."""
        log, output = self.find(record, attempt), self.output(record, attempt)
        if log is None:
            return OpenLog(TailLog(output), ELSEWHERE if self._runs_elsewhere(record, attempt) else "")
        if not (fault := await log.fault()):
            return OpenLog(FileLog(log))
        return OpenLog(FileLog(log) if output == _NO_OUTPUT else TailLog(output), UNREADABLE % fault)

    def _runs_elsewhere(self, record: Record, attempt: int) -> bool:
        """Return whether another node of a shared store runs an attempt."""
        logs, is_present = self._executor.logs, isinstance(record, Running) and attempt > len(record.attempts)
        return is_present and logs is not None and bool(logs.node) and self._executor.context(record) is None

    def output(self, record: Record, attempt: int) -> Output:
        """Return the output that the record of a task has of an attempt: only of the last one."""
        if isinstance(record, Finished):
            if record.ending.output is not None and attempt == len(record.attempts):
                return msgspec.json.decode(record.ending.output, type=Output)
        elif attempt > len(record.attempts) and (context := self._executor.context(record)) is not None:
            return context.snapshot() or _NO_OUTPUT
        return _NO_OUTPUT

    async def latest(self, record: Record) -> Record | None:
        """Return the present record of a task, or ``None`` if it is gone or the executor has stopped."""
        if self._executor.stopped.is_set():
            return None
        try:
            return await self._executor.get(record.id)
        except PexecutorError:
            return None

    async def until_a_log_begins(self) -> None:
        """Wait until any log begins."""
        if self._executor.logs is None:
            await trio.sleep_forever()
        else:
            await self._executor.logs.begun_one.wait()


class LogFollower:
    """Reads the log of an attempt until the attempt ends.

    Parameters:
        source: the logs.
        record, attempt: the attempt.
        client_input: the input of the client that follows.
    """

    def __init__(self, source: LogSource, record: Record, attempt: int, client_input: ClientInput) -> None:
        self._source = source
        self._record = record
        self._attempt = attempt
        self._input = client_input
        self._at = 0
        self._log: AttemptLog | None = None
        self._total = 0  # of the log, as long as there was one
        self._readable: ReadableLog | None = None
        self._is_up_to_date = False
        self._has_ended = False

    async def receive(self) -> Part | None:
        """Return the next part; an empty one when there is no more at present, and ``None`` at the end."""
        if self._is_up_to_date:
            await self._wait()
        part = await self._next()
        if part is not None:
            self._at = end_of(part)
        self._is_up_to_date = part is None
        return None if part is None and self._has_ended else part or []

    async def _next(self) -> Part | None:
        log = self._source.find(self._record, self._attempt)
        if log is not self._log:
            self._total = 0 if self._log is None else self._log.total
            self._log = log
            opened = None if log is None else (await self._source.open(self._record, self._attempt)).log
            self._readable = opened if isinstance(opened, FileLog) else None
        if log is None or self._readable is None:
            return await self._next_without_files()
        await log.measure()
        part = await self._readable.read(self._at, log.total)
        self._has_ended = log.ended and not log.dropped and log.total <= self._at
        return part

    async def _next_without_files(self) -> Part | None:
        record = await self._source.latest(self._record)
        self._has_ended = record is None or isinstance(record, Finished) or len(record.attempts) >= self._attempt
        if record is None:  # the files went with the record
            return Missing(self._at, self._total) if self._total > self._at else None
        if not self._has_ended:
            return None
        tail = TailLog(self._source.output(record, self._attempt))
        if not self._at or isinstance(self._readable, TailLog):
            self._readable = tail
            return await tail.read(self._at, tail.total)
        # The log was given up meanwhile. The tail has the streams in another order, so it cannot be continued there.
        return Missing(self._at, tail.total) if tail.total > self._at else None

    async def _wait(self) -> None:
        """Wait for more output, for the end, or for a while."""
        log = self._log
        if log is None:
            with self._input.until_input_ends(LOOK_SECONDS):
                await self._source.until_a_log_begins()
        elif log.total <= self._at and not (log.ended or log.dropped):
            with self._input.until_input_ends(times.HEARTBEAT_SECONDS):
                await log.changed.wait()
                await trio.sleep(PAUSE_SECONDS)
