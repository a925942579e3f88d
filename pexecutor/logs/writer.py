"""``FileWriter``: writes and deletes files in a thread, in the order in which it was told to.

The event loop never waits for the disk: it puts operations into a queue, and a Trio task hands the whole queue to a
thread, again and again. What comes in meanwhile is written together. The queue is bounded by its users: those who can
wait do so while it has more than ``BACKLOG_BYTES``, and a log is given up at ``BACKLOG_BYTES_MAX``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import trio

from . import segments

BACKLOG_BYTES: Final = 4 * 1024 * 1024
BACKLOG_BYTES_MAX: Final = 32 * 1024 * 1024

# Not Trio's default limiter, so that handlers which use up its threads cannot delay the logs.
_writing = trio.CapacityLimiter(8)


class WrittenLog(Protocol):
    """A log whose bytes are written."""

    dropped: bool
    """Whether its bytes need not be written any more. Read in the thread."""

    def fail(self, error: OSError) -> None:
        """Note that a write has failed. Called in the loop's thread."""


class Append(NamedTuple):
    """Bytes to append to a file of a log; with ``creates``, the file begins with them."""

    log: WrittenLog
    path: Path
    data: bytes
    creates: bool = False


class Remove(NamedTuple):
    """Files to delete."""

    paths: Sequence[Path]


Operation = Append | Remove


class FailedWrite(NamedTuple):
    """A log that could not be written, and why."""

    log: WrittenLog
    error: OSError


class FileWriter:
    """A queue of operations on files."""

    def __init__(self) -> None:
        # Owned by put() and run(): the operations that wait, and their bytes and those that are being written.
        self._queue: list[Operation] = []
        self.backlog: int = 0
        # How many operations were put in all, and how many of them are done.
        self._put = 0
        self._done = 0
        self._wanted = trio.Event()
        self._progress = trio.lowlevel.ParkingLot()
        self._running = False
        self._closing = False

    def put(self, operation: Operation) -> None:
        """Add an operation to the queue."""
        self._queue.append(operation)
        self._put += 1
        if isinstance(operation, Append):
            self.backlog += len(operation.data)
        self._wanted.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Do what is in the queue until ``close``, and then the rest of it."""
        self._running = True
        task_status.started()
        try:
            while self._queue or not self._closing:
                await self._wanted.wait()
                self._wanted = trio.Event()
                if self._queue:
                    await self._write()
                if self._queue or self._closing:
                    self._wanted.set()
        finally:
            self._running = False
            self._progress.unpark_all()

    async def _write(self) -> None:
        operations, self._queue = self._queue, []
        try:
            failures = await trio.to_thread.run_sync(carry_out, operations, abandon_on_cancel=True, limiter=_writing)
        except RuntimeError:  # no thread is left
            failures = carry_out(operations)
        self._done += len(operations)
        self.backlog -= sum(len(one.data) for one in operations if isinstance(one, Append))
        for failure in failures:
            failure.log.fail(failure.error)
        self._progress.unpark_all()

    def close(self) -> None:
        """Let ``run`` end once the queue is empty."""
        self._closing = True
        self._wanted.set()

    async def until_done(self) -> None:
        """Wait until everything that was put until now is done, or the writer has ended."""
        mark = self._put
        while self._done < mark and self._running:
            await self._progress.park()

    async def until_short(self) -> None:
        """Wait until the queue is short, or the writer has ended."""
        while self.backlog > BACKLOG_BYTES and self._running:
            await self._progress.park()


def carry_out(operations: Sequence[Operation]) -> list[FailedWrite]:
    """Do operations in their order, in a thread. What follows a failed write of the same log is left out."""
    failures: dict[int, FailedWrite] = {}
    # The appends since the last removal, by file: they may be done together.
    gathered: dict[Path, list[Append]] = {}

    def write() -> None:
        for path, appends in gathered.items():
            log = appends[0].log
            if log.dropped or id(log) in failures:
                continue
            try:
                segments.append(path, [one.data for one in appends], creates=appends[0].creates)
            except OSError as error:
                failures[id(log)] = FailedWrite(log, error)
        gathered.clear()

    for operation in operations:
        if isinstance(operation, Append):
            gathered.setdefault(operation.path, []).append(operation)
        else:
            write()
            segments.remove(operation.paths)
    write()
    return list(failures.values())
