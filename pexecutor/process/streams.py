"""Standard output and standard error that neither block nor fail, and hold a bounded number of bytes.

A server writes log lines, warnings, tracebacks and the prints of functions from its event loop. The other end may be a
pipe without an active reader, a closed pipe, or a full disk. So a write only puts bytes into a queue, and one thread
per descriptor writes them out. Data that does not fit into the queue, or that cannot be written, is dropped, and its
lines are counted.

Road not taken: writing only if the kernel reports that a write would not block. Another process that shares the pipe
can fill it meanwhile, and a write to a file may block in spite of the report.
"""

from __future__ import annotations

import atexit
import io
import os
import select
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import Any, Final

WAITING_BYTES_MAX: Final = 4 * 1024 * 1024
"""The maximum number of queued bytes per descriptor."""

WRITTEN_AT_ONCE_BYTES: Final = 64 * 1024

FLUSH_SECONDS_MAX: Final = 1.0
"""How long the exit of the process waits for queued data to be written, in seconds."""


class BackgroundWriter(io.RawIOBase):
    """A raw stream that queues data without waiting. A daemon thread writes the data, in order.

    Parameters:
        fd: the descriptor to write to.
        on_dropped: called in the thread with the number of dropped lines, once a later write has succeeded.
    """

    def __init__(self, fd: int, on_dropped: Callable[[int], object] = int) -> None:
        super().__init__()
        self.on_dropped = on_dropped
        self.dropped_lines: int = 0
        self._fd = fd
        self._reported_lines = 0
        self._is_fork = False
        self._forget_waiting()

    def _forget_waiting(self) -> None:
        """Reset the queue and the thread."""
        # SimpleQueue.put is reentrant: a finalizer that runs during a put may print a warning.
        self._queue: SimpleQueue[bytes | threading.Event] = SimpleQueue()
        # Guards the counters. Reentrant for the same reason.
        self._lock = threading.RLock()
        self._waiting_bytes = 0
        self._thread: threading.Thread | None = None

    def write(self, data: Any) -> int:
        """Queue all of the data, or drop all of it if the queue is too full."""
        piece = bytes(data)
        size = len(piece)
        with self._lock:
            fits = self._waiting_bytes + size <= WAITING_BYTES_MAX
            if fits:
                self._waiting_bytes += size
            else:
                self.dropped_lines += piece.count(b"\n")
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=f"writer of {self._fd}", daemon=True)
                self._thread.start()
        if fits:
            self._queue.put(piece)
        return size

    def begin_in_fork(self) -> None:
        """Reset after a fork: the thread does not exist in the child, and another thread may have held the lock.

        The parent writes the queued data. In the child, ``flush`` waits, because a child may end without running exit
        functions.
        """
        self._forget_waiting()
        self._is_fork = True

    def flush(self) -> None:
        """Do nothing, because waiting would block. In a forked process, wait for at most ``FLUSH_SECONDS_MAX``."""
        if self._is_fork:
            self.flush_within(FLUSH_SECONDS_MAX)

    def flush_within(self, seconds: float) -> bool:
        """Wait until all data queued so far is written or dropped; return whether this was in time."""
        if self._thread is None:
            return True
        reached = threading.Event()
        self._queue.put(reached)
        return reached.wait(seconds)

    def writable(self) -> bool:
        """Return ``True``: the stream is writable."""
        return True

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._fd

    def isatty(self) -> bool:
        """Return whether the descriptor is a terminal."""
        return os.isatty(self._fd)

    def _run(self) -> None:
        while True:
            batch, reached = self._next_batch()
            if batch:
                self._write_out(batch)
            if reached is not None:
                reached.set()

    def _next_batch(self) -> tuple[bytes, threading.Event | None]:
        """Wait for data, and return what is queued up to the next flush, with the event of that flush."""
        pieces: list[bytes] = []
        size = 0
        entry = self._queue.get()
        with suppress(Empty):
            while isinstance(entry, bytes):
                pieces.append(entry)
                size += len(entry)
                if size >= WRITTEN_AT_ONCE_BYTES:
                    return b"".join(pieces), None
                entry = self._queue.get_nowait()
            return b"".join(pieces), entry
        return b"".join(pieces), None

    def _write_out(self, batch: bytes) -> None:
        left = memoryview(batch)
        try:
            while left:
                left = left[self._write_some(left) :]
        except OSError:
            pass  # the reader has closed the pipe, or the disk is full
        lost = bytes(left).count(b"\n")
        with self._lock:
            self._waiting_bytes -= len(batch)
            self.dropped_lines += lost
            unreported = self.dropped_lines - self._reported_lines
            if not left:
                self._reported_lines = self.dropped_lines
        if unreported and not left:
            self.on_dropped(unreported)

    def _write_some(self, data: memoryview) -> int:
        try:
            return os.write(self._fd, data)
        except BlockingIOError:  # another process that shares the descriptor has set O_NONBLOCK
            poll = select.poll()
            poll.register(self._fd, select.POLLOUT)
            poll.poll()
            return 0


class BackgroundStream(io.TextIOWrapper):
    """A text stream on a ``BackgroundWriter``. Any text can be written, even if a function reconfigures the stream."""

    def __init__(self, writer: BackgroundWriter, encoding: str) -> None:
        raw: Any = writer  # without a BufferedWriter, which is not needed and whose lock could block
        super().__init__(raw, encoding=encoding, errors="backslashreplace", newline="\n", line_buffering=True)

    def close(self) -> None:
        """Flush, but stay open: other code may still write to the stream."""
        self.flush()

    def detach(self) -> Any:
        """Return the writer, and stay attached to it."""
        return self.buffer

    def reconfigure(self, *, encoding: str | None = None, **_: Any) -> None:
        """Change the encoding only; characters that it lacks are always escaped."""
        super().reconfigure(encoding=encoding, errors="backslashreplace")


_writers: Final[dict[str, BackgroundWriter]] = {"stdout": BackgroundWriter(1), "stderr": BackgroundWriter(2)}
"""The writers, by stream. They live as long as the process, because a logger may keep a stream for ever."""

for _writer in _writers.values():
    os.register_at_fork(after_in_child=_writer.begin_in_fork)


def dropped_lines() -> int:
    """Return how many lines of either stream this process has dropped."""
    return sum(writer.dropped_lines for writer in _writers.values())


def report_drops(report: Callable[[str, int], None]) -> None:
    """Set the function that is called with the name of a stream and the number of its dropped lines."""
    for name, writer in _writers.items():
        writer.on_dropped = lambda lines, name=name: report(name, lines)  # type: ignore[misc]


@contextmanager
def background_streams() -> Iterator[None]:
    """Replace ``sys.stdout`` and ``sys.stderr`` by streams that neither block nor fail.

    The original streams are restored at the end, unless queued data still waits for a stalled reader.
    """
    replaced = replace_streams()
    try:
        yield
    finally:
        if _flush():
            for name, stream in replaced.items():
                setattr(sys, name, stream)


def replace_streams() -> dict[str, Any]:
    """Replace the standard streams permanently; return the original streams."""
    _open_missing_descriptors()
    atexit.unregister(_flush)
    atexit.register(_flush)  # a logger may hold a stream for longer than any context
    replaced = {name: getattr(sys, name) for name in _writers}
    for name, writer in _writers.items():
        with suppress(OSError, ValueError, AttributeError):  # a full disk, a closed stream, or no stream
            replaced[name].flush()
        setattr(sys, name, BackgroundStream(writer, getattr(replaced[name], "encoding", None) or "utf-8"))
    return replaced


def _flush() -> bool:
    in_time = [writer.flush_within(FLUSH_SECONDS_MAX / len(_writers)) for writer in _writers.values()]
    return all(in_time)


def _open_missing_descriptors() -> None:
    """Open the null device for each closed standard descriptor, so that no socket or database gets its number."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the system returns the lowest free number, which is fd
            assert opened == fd
            os.set_inheritable(fd, True)
