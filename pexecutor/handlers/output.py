"""The output of an attempt: the ends of its streams, and an exit code or an HTTP status.

A command may print for days, so each stream is kept as a ``Tail``: its last bytes and the number of all bytes.
``LiveOutput`` grows while the attempt runs, and ``Output`` is a snapshot of it.

The whole output also goes to a ``WholeLog``, if the attempt has one.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

import msgspec

from ..values import WHOLE_MAX
from .cuts import cut_character

TAIL_BYTES_MAX: Final = 64 * 1024


class Tail:
    """The last bytes of a stream.

    Old bytes are dropped only when the buffer holds twice the limit, so a byte is moved at most once: appending costs
    amortised O(1) per byte, for pieces of any size.

    Parameters:
        bytes_max: how many of the last bytes are kept.
        pass_on: called with all bytes that are appended; ``None`` if only the end is kept.
    """

    __slots__ = ("_held", "bytes_max", "pass_on", "seen")

    def __init__(self, bytes_max: int = TAIL_BYTES_MAX, pass_on: Callable[[bytes], None] | None = None) -> None:
        self.bytes_max: int = bytes_max
        self.pass_on: Callable[[bytes], None] | None = pass_on
        self.seen: int = 0
        self._held = bytearray()

    def append(self, data: bytes) -> None:
        """Append the next bytes of the stream."""
        self.keep(data)
        if self.pass_on is not None:
            self.pass_on(data)

    def keep(self, data: bytes) -> None:
        """Append bytes without passing them on."""
        self.seen += len(data)
        if len(data) >= self.bytes_max:
            self._held.clear()
        self._held += data[-self.bytes_max :]
        if len(self._held) >= 2 * self.bytes_max:
            del self._held[: -self.bytes_max]

    def __bytes__(self) -> bytes:
        return bytes(self._held[-self.bytes_max :])

    def text(self) -> str:
        """Return the tail as text, with replacement characters for invalid UTF-8 and without a cut first character."""
        return self.texts()[0]

    def texts(self) -> tuple[str, str]:
        """Return the tail as text, and also in base64 if the bytes are not valid UTF-8 (otherwise ``""``)."""
        held = kept = bytes(self)
        if self.seen > len(kept):
            kept = kept[cut_character(kept) :]
        try:
            return kept.decode(), ""
        except UnicodeDecodeError:
            return kept.decode(errors="replace"), b64encode(held).decode()

    def __repr__(self) -> str:
        return f"<Tail {min(self.seen, self.bytes_max)} of {self.seen} bytes>"


class WholeLog(Protocol):
    """The log of an attempt, which keeps more than the ends of the streams. It never raises."""

    @property
    def node(self) -> str:
        """The name of the node that keeps the log; empty for a store of one process."""

    def append(self, stream: int, data: bytes) -> None:
        """Append the next bytes of a stream, which is a number: the place of its name in ``STREAMS``."""

    async def pace(self) -> None:
        """Wait a moment if the log grows faster than it is written."""


STREAMS: Final = ("stdout", "stderr", "log", "body")
"""The names of the streams of an attempt."""


class Output(msgspec.Struct, frozen=True, omit_defaults=True):
    """The output of an attempt at one instant.

    Parameters:
        stdout, stderr: the end of each standard stream of a command or a function's process.
        log: the end of the log that a handler wrote.
        body: the end of an HTTP response's body.
        stdout_base64, stderr_base64, body_base64: the bytes of these ends in base64, if they are not UTF-8.
        stdout_bytes, stderr_bytes, log_bytes, body_bytes: the total number of bytes.
        exit_code: the exit code of the process once it has ended; negated for the signal that ended it.
        status: the status of the HTTP response once it has begun.
        log_node: the node of a shared store that keeps the whole output.
    """

    stdout: str = ""
    stderr: str = ""
    log: str = ""
    body: str = ""
    stdout_base64: str = ""
    stderr_base64: str = ""
    body_base64: str = ""
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    log_bytes: int = 0
    body_bytes: int = 0
    exit_code: int | None = None
    status: int | None = None
    log_node: str = ""

    def kept(self, stream: str) -> bytes:
        """Return the end of a stream."""
        encoded: str = getattr(self, f"{stream}_base64", "")
        text: str = getattr(self, stream)
        return b64decode(encoded) if encoded else text.encode()

    def seen(self, stream: str) -> int:
        """Return the total number of bytes of a stream."""
        seen: int = getattr(self, f"{stream}_bytes")
        return seen


class LiveOutput:
    """The growing output of a running attempt. It is false while it is empty.

    Parameters:
        whole: the log of the attempt; ``None`` if only the ends of the streams are kept.
    """

    __slots__ = ("body", "exit_code", "log", "status", "stderr", "stdout", "whole")

    def __init__(self, whole: WholeLog | None = None) -> None:
        self.whole: WholeLog | None = whole
        self.stdout: Tail
        self.stderr: Tail
        self.log: Tail
        self.body: Tail
        self.stdout, self.stderr, self.log, self.body = (
            Tail(pass_on=None if whole is None else partial(whole.append, number)) for number in range(len(STREAMS))
        )
        self.exit_code: int | None = None
        self.status: int | None = None

    def snapshot(self) -> Output:
        """Return the present output."""
        (stdout, stdout_base64), (stderr, stderr_base64), (body, body_base64) = (
            tail.texts() for tail in (self.stdout, self.stderr, self.body)
        )
        return Output(
            stdout=stdout,
            stderr=stderr,
            log=self.log.text(),
            body=body,
            stdout_base64=stdout_base64,
            stderr_base64=stderr_base64,
            body_base64=body_base64,
            stdout_bytes=self.stdout.seen,
            stderr_bytes=self.stderr.seen,
            log_bytes=self.log.seen,
            body_bytes=self.body.seen,
            exit_code=_whole(self.exit_code),
            status=_whole(self.status),
            log_node="" if self.whole is None else self.whole.node,
        )

    def __bool__(self) -> bool:
        seen = self.stdout.seen + self.stderr.seen + self.log.seen + self.body.seen
        return bool(seen) or self.exit_code is not None or self.status is not None


def _whole(number: object) -> int | None:
    """Return an integer that JSON can express exactly, or ``None``: a function may have set any object."""
    return number if type(number) is int and abs(number) <= WHOLE_MAX else None
