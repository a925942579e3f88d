"""``AttemptLog``: the log of one attempt. It decides in which segment each byte goes, and which segment goes.

All its state belongs to the event loop; what it decides is written later by the ``FileWriter``. Output may arrive from
any thread.

A log ends in one of three states:

* *ended*: the attempt has ended, and its segments are kept until its task's record goes.
* *dropped*: there was no room, a write failed, or its record is gone. Its segments are deleted. Then only the tail of
  the output is left, in the record.
* A log of an earlier process is ended from the start.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import trio

from ..limits.times import LOG_PACE_SECONDS_MAX
from .bounds import RING_SEGMENTS, LogBounds
from .segments import (
    FRAME_BYTES,
    FRAME_DATA_MAX,
    HEADER_BYTES,
    FoundSegment,
    fault_of,
    frame,
    header,
    length_of,
    segment_name,
)
from .writer import BACKLOG_BYTES, Append, FileWriter, Remove

THREAD_PAUSE_SECONDS: Final = 0.005


class Segment(msgspec.Struct):
    """A segment as the log knows it.

    Parameters:
        number: its number in the log.
        begin, end: the places of its first byte, and behind its last byte, in the whole output.
        size: the size of its file in bytes.
    """

    number: int
    begin: int
    end: int
    size: int


class LogRoom(Protocol):
    """All logs of the process, as one of them sees the others."""

    bounds: LogBounds
    trimmed: int
    """How many logs have lost their middle."""
    node: str
    thread: int
    """The identifier of the loop's thread."""
    writer: FileWriter

    @property
    def directory(self) -> Path: ...

    def begin(self, log: AttemptLog) -> None: ...

    def reserve(self, log: AttemptLog, size: int) -> bool: ...

    def release(self, size: int) -> None: ...

    def give_up(self, log: AttemptLog, reason: str) -> None: ...

    def run_soon(self, function: Callable[..., None], *arguments: Any) -> None: ...


class AttemptLog:
    """The log of an attempt.

    Parameters:
        files: the files that the log is one of.
        serial, attempt: the task and the number of the attempt.
        submitted_at: when the task was submitted, in seconds since 1970.
        number: the number of the first segment.
    """

    def __init__(
        self, files: LogRoom, serial: int, attempt: int, submitted_at: float, *, token: int = 0, number: int = 0
    ) -> None:
        self.serial: int = serial
        self.attempt: int = attempt
        self.submitted_at: float = submitted_at
        self.token: int = token
        self.segments: list[Segment] = []
        self.total: int = 0
        """How many bytes of output have arrived."""
        self.ended: bool = False
        self.dropped: bool = False
        self.changed: trio.Event = trio.Event()
        """Set, and replaced, when there is more output, and when the log ends or is dropped."""
        self._files = files
        self.next_number: int = number
        """The number of the next segment."""
        self._has_begun = False
        self._is_measured = True

    @classmethod
    def of_earlier_process(cls, files: LogRoom, found: list[FoundSegment]) -> AttemptLog:
        """Return a log that an earlier process has left, from its segments in the order of their numbers."""
        first = found[0]
        log = cls(files, first.serial, first.attempt, first.submitted_at, number=found[-1].number + 1)
        log.segments = [Segment(one.number, one.begin, one.begin, one.size) for one in found]
        log.ended = True
        log._is_measured = False
        return log

    @property
    def node(self) -> str:
        """The name of the node that keeps the files; empty for a store of one process, and without files."""
        return self._files.node if self.segments else ""

    # Write

    def append(self, stream: int, data: bytes) -> None:
        """Add the next bytes of a stream. Any thread may call this; a thread waits a moment if the disk is slow."""
        if not data or self.dropped:
            return
        if threading.get_ident() == self._files.thread:
            self.take(time.time(), stream, data)
        else:
            self._wait_in_thread()
            self._files.run_soon(self.take, time.time(), stream, data)

    def _wait_in_thread(self) -> None:
        deadline = time.monotonic() + LOG_PACE_SECONDS_MAX
        while self._files.writer.backlog > BACKLOG_BYTES and time.monotonic() < deadline and not self.dropped:
            time.sleep(THREAD_PAUSE_SECONDS)

    async def pace(self) -> None:
        """Wait a moment if the disk is slow, so that memory stays bounded. A disk that hangs ends the log."""
        if self._files.writer.backlog > BACKLOG_BYTES and not self.dropped:
            with trio.move_on_after(LOG_PACE_SECONDS_MAX) as waiting:
                await self._files.writer.until_short()
            if waiting.cancelled_caught:
                self._files.give_up(self, "the disk is too slow")

    def take(self, at: float, stream: int, data: bytes) -> None:
        """Add bytes that arrived at this time (seconds since 1970). Only the loop's thread may call this."""
        if not self._has_begun:
            self._has_begun = True
            self._files.begin(self)
        while data and not (self.ended or self.dropped):
            segment = self._segment_with_room()
            if segment is None:
                return
            room = self._size_max(segment) - segment.size - FRAME_BYTES
            piece = data[: min(room, FRAME_DATA_MAX)]
            if not self._files.reserve(self, FRAME_BYTES + len(piece)):
                return
            segment.size += FRAME_BYTES + len(piece)
            segment.end += len(piece)
            self.total += len(piece)
            self._files.writer.put(Append(self, self.path(segment), frame(at, stream, piece)))
            data = data[len(piece) :]
        self.wake()

    def _size_max(self, segment: Segment) -> int:
        bounds = self._files.bounds
        return bounds.head_bytes if segment.begin == 0 else bounds.ring_segment_bytes

    def _segment_with_room(self) -> Segment | None:
        """Return the segment that grows; begin a new one if needed. ``None`` if there is no room in all."""
        if self.segments:
            last = self.segments[-1]
            if last.size + FRAME_BYTES < self._size_max(last):
                return last
        if len(self.segments) > RING_SEGMENTS:
            if self.segments[0].end == self.segments[1].begin:
                self._files.trimmed += 1  # there was no gap before
            self._remove([self.segments.pop(1)])
        if not self._files.reserve(self, HEADER_BYTES):
            return None
        segment = Segment(self.next_number, self.total, self.total, HEADER_BYTES)
        self.next_number += 1
        self.segments.append(segment)
        opening = header(self.submitted_at, segment.begin)
        self._files.writer.put(Append(self, self.path(segment), opening, creates=True))
        return segment

    # The end

    def end(self) -> None:
        """Note that the attempt has ended. Later output of this attempt is not kept."""
        self.ended = True
        self.wake()

    def drop(self) -> None:
        """Delete the segments. Output that is still to come is not kept."""
        self.dropped = True
        segments, self.segments = self.segments, []
        self._remove(segments)
        self.wake()

    def fail(self, error: OSError) -> None:
        """Give the log up because a write has failed."""
        self._files.give_up(self, f"{self._files.directory}: {error.strerror}")

    def _remove(self, segments: list[Segment]) -> None:
        if segments:
            self._files.release(sum(segment.size for segment in segments))
            self._files.writer.put(Remove([self.path(segment) for segment in segments]))

    def wake(self) -> None:
        """Wake the followers."""
        if self.changed.statistics().tasks_waiting:
            self.changed.set()
            self.changed = trio.Event()

    # Read

    def path(self, segment: Segment) -> Path:
        """Return the file of a segment."""
        return self._files.directory / segment_name(self.serial, self.attempt, segment.number)

    async def written(self) -> None:
        """Wait until the output that has arrived is in the files."""
        await self._files.writer.until_done()

    async def fault(self) -> str:
        """Return why the files of an attempt that has ended cannot be read; empty if they can be."""
        if not self.ended:
            return ""  # a write will fail, too, and then the log is given up
        await self.written()
        paths = [self.path(segment) for segment in self.segments]
        fault = await trio.to_thread.run_sync(fault_of, paths, abandon_on_cancel=True)
        return "" if self.dropped else fault

    async def measure(self) -> None:
        """Find out how long the segments of an earlier process are; the files need not have been read before."""
        if not self._is_measured:
            for segment in list(self.segments):
                length = await trio.to_thread.run_sync(
                    length_of, self.path(segment), segment.begin, abandon_on_cancel=True
                )
                segment.end = segment.begin + length
            self.total = self.segments[-1].end if self.segments else 0
            self._is_measured = True

    def __repr__(self) -> str:
        state = "dropped" if self.dropped else "ended" if self.ended else "written"
        places = ", ".join(f"{segment.begin}-{segment.end}" for segment in self.segments)
        return f"<AttemptLog {segment_name(self.serial, self.attempt, 0)} {state}, {self.total} bytes: {places}>"
