"""Standard output and standard error that neither block nor fail, and hold a bounded number of bytes.

A server writes to them from its event loop: log lines, warnings, tracebacks, whatever a function prints. The other end
may be a pipe that nobody reads, a reader that has ended, or a full disk. So a write only puts bytes into a queue, and
a thread for each descriptor writes them out. What does not fit into the queue, or cannot be written, is dropped
and counted.

Road not taken: asking the kernel whether a write would block, and writing then. Another process that shares the pipe
can fill it in between, and a file may block without saying so.
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
"""How many bytes may wait for one descriptor."""

WRITTEN_AT_ONCE_BYTES: Final = 64 * 1024

FLUSH_SECONDS_MAX: Final = 1.0
"""How long the end of the process waits for what is still to be written."""


class BackgroundWriter(io.RawIOBase):
    """Takes bytes without waiting; a daemon thread writes them, in order.

    Parameters:
        fd: the descriptor to write to.
        on_dropped: called in the thread with a number of dropped lines, once a later write has succeeded.
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
        """Begin with nothing waiting, and without a thread."""
        # A SimpleQueue may be put to again while it is put to, as a finalizer that warns does.
        self._queue: SimpleQueue[bytes | threading.Event] = SimpleQueue()
        # Guards the two counters below. Reentrant for the same finalizers.
        self._lock = threading.RLock()
        self._waiting_bytes = 0
        self._thread: threading.Thread | None = None

    def write(self, data: Any) -> int:
        """Take all of the data, or drop it if too much is waiting."""
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
        """Begin anew in a forked process: it has no thread, and another thread may have held the lock.

        What waits is written by the parent process. Here, a flush waits, as a fork may end without any other notice.
        """
        self._forget_waiting()
        self._is_fork = True

    def flush(self) -> None:
        """Do nothing: waiting would block. In a forked process, wait for a bounded time."""
        if self._is_fork:
            self.flush_within(FLUSH_SECONDS_MAX)

    def flush_within(self, seconds: float) -> bool:
        """Wait until everything taken so far is written or dropped; return whether it was in time."""
        if self._thread is None:
            return True
        reached = threading.Event()
        self._queue.put(reached)
        return reached.wait(seconds)

    def writable(self) -> bool:
        """Return that it can be written to."""
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
        """Wait for something to write; take what has gathered, up to a flush that somebody waits for."""
        pieces: list[bytes] = []
        size = 0
        one = self._queue.get()
        with suppress(Empty):
            while isinstance(one, bytes):
                pieces.append(one)
                size += len(one)
                if size >= WRITTEN_AT_ONCE_BYTES:
                    return b"".join(pieces), None
                one = self._queue.get_nowait()
            return b"".join(pieces), one
        return b"".join(pieces), None

    def _write_out(self, batch: bytes) -> None:
        left = memoryview(batch)
        try:
            while left:
                left = left[self._write_some(left) :]
        except OSError:
            pass  # the reader has ended, or the disk is full
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
    """Text on a ``BackgroundWriter``. Any text can be written, whatever a function does to the stream."""

    def __init__(self, writer: BackgroundWriter, encoding: str) -> None:
        raw: Any = writer  # no buffer is needed in between, and its lock would be one to wait for
        super().__init__(raw, encoding=encoding, errors="backslashreplace", newline="\n", line_buffering=True)

    def close(self) -> None:
        """Flush."""
        self.flush()

    def detach(self) -> Any:
        """Return the writer, and stay on it."""
        return self.buffer

    def reconfigure(self, *, encoding: str | None = None, **_: Any) -> None:
        """Change the encoding; what it cannot express is escaped, whatever else is asked."""
        super().reconfigure(encoding=encoding, errors="backslashreplace")


_writers: Final[dict[str, BackgroundWriter]] = {"stdout": BackgroundWriter(1), "stderr": BackgroundWriter(2)}
"""One for each descriptor, as long as the process lives: whatever was given the stream may keep it."""

for _writer in _writers.values():
    os.register_at_fork(after_in_child=_writer.begin_in_fork)


def dropped_lines() -> int:
    """Return how many lines of either stream this process has dropped."""
    return sum(writer.dropped_lines for writer in _writers.values())


def report_drops(report: Callable[[str, int], None]) -> None:
    """Have drops reported: the name of the stream, and how many of its lines are missing."""
    for name, writer in _writers.items():
        writer.on_dropped = lambda lines, name=name: report(name, lines)  # type: ignore[misc]


@contextmanager
def background_streams() -> Iterator[None]:
    """Replace ``sys.stdout`` and ``sys.stderr`` by streams that neither block nor fail.

    They are put back at the end, unless something still waits for a reader that has stalled.
    """
    replaced = replace_streams()
    try:
        yield
    finally:
        if _flush():
            for name, stream in replaced.items():
                setattr(sys, name, stream)


def replace_streams() -> dict[str, Any]:
    """Replace them for good; return what they were."""
    _open_missing_descriptors()
    atexit.unregister(_flush)
    atexit.register(_flush)  # a logger may hold a stream for longer than any context
    replaced = {name: getattr(sys, name) for name in _writers}
    for name, writer in _writers.items():
        with suppress(OSError, ValueError, AttributeError):  # a full disk, a closed stream, none
            replaced[name].flush()
        setattr(sys, name, BackgroundStream(writer, getattr(replaced[name], "encoding", None) or "utf-8"))
    return replaced


def _flush() -> bool:
    in_time = [writer.flush_within(FLUSH_SECONDS_MAX / len(_writers)) for writer in _writers.values()]
    return all(in_time)


def _open_missing_descriptors() -> None:
    """Open a null device for each closed standard descriptor, before a socket or a database takes its number."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
            assert opened == fd
            os.set_inheritable(fd, True)
