"""The pipes between us and a process that we do not trust to end them.

``trio.Process`` can make pipes of its own, but whoever waits for the end of one waits for each process that holds it,
also for one that left its group long ago. An ``Inlet`` is read until the group is gone; then what lies in it is
taken without waiting, and it is closed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self

import trio

from ..contract import HandlerFailedError
from ..descriptors import is_exhaustion

Sink = Callable[[bytes], None]
"""Takes the next bytes of a stream; it must not raise."""

READ_BYTES_MAX: Final = 64 * 1024
LEFT_BYTES_MAX: Final = 1024 * 1024
"""The most that a pipe can hold, and so what can be left in it by a group that is gone."""


class _Pipe:
    """One end is ours, as a stream, and one the process's, as a file descriptor."""

    def __init__(self, ours: int, theirs: int) -> None:
        self.stream: trio.lowlevel.FdStream = trio.lowlevel.FdStream(ours)
        self.their_end = theirs
        self._handed_over = False

    def hand_over(self) -> None:
        """Close the end of the process, which has its own copy by now."""
        if not self._handed_over:
            self._handed_over = True
            os.close(self.their_end)

    @contextmanager
    def handed_over(self) -> Iterator[int]:
        """Give the end of the process, and close it afterwards."""
        try:
            yield self.their_end
        finally:
            self.hand_over()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hand_over()
        self.stream.close()


class Inlet(_Pipe):
    """A pipe that a process writes to."""

    def __init__(self, sink: Sink) -> None:
        ours, theirs = os.pipe()
        super().__init__(ours, theirs)
        self._sink = sink

    async def drain(self) -> None:
        """Give everything to the sink, until the end of the stream."""
        while data := await self.stream.receive_some(READ_BYTES_MAX):
            self._sink(data)

    def sweep(self) -> None:
        """Give to the sink what lies in the pipe now; it is called when nobody is left to write more."""
        for _ in range(LEFT_BYTES_MAX // READ_BYTES_MAX):
            try:
                data = os.read(self.stream.fileno(), READ_BYTES_MAX)
            except BlockingIOError:
                return
            if not data:
                return
            self._sink(data)


class Outlet(_Pipe):
    """A pipe that a process reads from: it is told everything, and then the end."""

    def __init__(self, content: bytes) -> None:
        theirs, ours = os.pipe()
        super().__init__(ours, theirs)
        self._content = content

    async def feed(self) -> None:
        """Write it all, unless the process closes its end before that: not to read is no failure."""
        try:
            await self.stream.send_all(self._content)
        except trio.BrokenResourceError:
            pass
        finally:
            self.stream.close()


@contextmanager
def null_device() -> Iterator[int]:
    """Open the null device, which a process that reads nothing has as its standard input.

    Raises:
        HandlerFailedError: it cannot be opened.
        OSError: no descriptor is left.
    """
    try:
        descriptor = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        if is_exhaustion(error):
            raise
        raise HandlerFailedError(f"cannot open {os.devnull}: {error.strerror}") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)
