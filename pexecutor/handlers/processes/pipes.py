"""The pipes between the server and a process that may never close them.

``trio.Process`` can make pipes, but a reader that waits for the end of a pipe waits for every process that holds the
pipe, even a process that left its group long ago. An ``Inlet`` is read until the group is gone. Then the rest of its
content is read without waiting, and the pipe is closed.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self

import trio

from ..contract import HandlerFailedError
from ..descriptors import is_exhaustion

Sink = Callable[[bytes], None]
"""A function that takes the next bytes of a stream. It must not raise."""

READ_BYTES_MAX: Final = 64 * 1024
LEFT_BYTES_MAX: Final = 1024 * 1024
"""The capacity of the largest pipe, and so the most that a dead group can leave in it."""


class _Pipe:
    """A pipe with the server's end as a stream and the process's end as a file descriptor."""

    def __init__(self, ours: int, theirs: int) -> None:
        self.stream: trio.lowlevel.FdStream = trio.lowlevel.FdStream(ours)
        self.their_end = theirs
        self._handed_over = False

    def hand_over(self) -> None:
        """Close the process's end in the server: the process has its own copy now."""
        if not self._handed_over:
            self._handed_over = True
            os.close(self.their_end)

    @contextmanager
    def handed_over(self) -> Iterator[int]:
        """Yield the process's end, and close it afterwards."""
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
    """A pipe that a process writes to.

    Parameters:
        sink: takes the data.
        pace: called after each piece; waits if the data arrive faster than the sink can pass them on.
    """

    def __init__(self, sink: Sink, pace: Callable[[], Awaitable[None]] | None = None) -> None:
        ours, theirs = os.pipe()
        super().__init__(ours, theirs)
        self._sink = sink
        self._pace = pace

    async def drain(self) -> None:
        """Pass all data to the sink until the end of the stream."""
        while data := await self.stream.receive_some(READ_BYTES_MAX):
            self._sink(data)
            if self._pace is not None:
                await self._pace()

    def sweep(self) -> None:
        """Pass the present content of the pipe to the sink. Call this when no writer is left."""
        for _ in range(LEFT_BYTES_MAX // READ_BYTES_MAX):
            try:
                data = os.read(self.stream.fileno(), READ_BYTES_MAX)
            except BlockingIOError:
                return
            if not data:
                return
            self._sink(data)


class Outlet(_Pipe):
    """A pipe that a process reads from."""

    def __init__(self, content: bytes) -> None:
        theirs, ours = os.pipe()
        super().__init__(ours, theirs)
        self._content = content

    async def feed(self) -> None:
        """Write the whole content, and close the pipe. A process that closes its end early is not an error."""
        try:
            await self.stream.send_all(self._content)
        except trio.BrokenResourceError:
            pass
        finally:
            self.stream.close()


@contextmanager
def null_device() -> Iterator[int]:
    """Open the null device as the standard input of a process that gets no input.

    Raises:
        HandlerFailedError: the null device cannot be opened.
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
