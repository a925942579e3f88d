"""What a handler's run leaves to be read: the ends of its streams, an exit code or a status.

A command may print for days, so each stream is kept as a ``Tail``: its last bytes, and how many there were. The
live side is ``LiveOutput``, which is appended to while the run goes on, and any instant of it is an ``Output``.

Road not taken: the head of a stream as well. What went wrong is said at the end; whoever needs all of it has the
command write a file.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Final

import msgspec

from ..values import WHOLE_MAX

TAIL_BYTES_MAX: Final = 64 * 1024

_CONTINUATION: Final = bytes(range(0x80, 0xC0))
_CONTINUATIONS_MAX: Final = 3
"""A character of UTF-8 has at most so many bytes after its first."""


class Tail:
    """The last bytes of a stream.

    Old bytes are let go when twice the limit is held, so a byte is moved at most once: appending costs amortised
    O(1) a byte, in pieces of any size.

    Parameters:
        bytes_max: how many of the last bytes are kept.
    """

    __slots__ = ("_held", "bytes_max", "seen")

    def __init__(self, bytes_max: int = TAIL_BYTES_MAX) -> None:
        self.bytes_max: int = bytes_max
        self.seen: int = 0
        self._held = bytearray()

    def append(self, data: bytes) -> None:
        """Take the next bytes of the stream."""
        self.seen += len(data)
        if len(data) >= self.bytes_max:
            self._held.clear()
        self._held += data[-self.bytes_max :]
        if len(self._held) >= 2 * self.bytes_max:
            del self._held[: -self.bytes_max]

    def __bytes__(self) -> bytes:
        return bytes(self._held[-self.bytes_max :])

    def text(self) -> str:
        """The tail as text: UTF-8, with a replacement for what is none; a character cut by the limit is left out."""
        return self.texts()[0]

    def texts(self) -> tuple[str, str]:
        """Return the tail as text, and in base64 if the text cannot say which bytes there were."""
        held = kept = bytes(self)
        if self.seen > len(kept):
            cut = kept[:_CONTINUATIONS_MAX]
            kept = cut.lstrip(_CONTINUATION) + kept[len(cut) :]
        try:
            return kept.decode(), ""
        except UnicodeDecodeError:
            return kept.decode(errors="replace"), b64encode(held).decode()

    def __repr__(self) -> str:
        return f"<Tail {min(self.seen, self.bytes_max)} of {self.seen} bytes>"


class Output(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a run had left to be read at one instant.

    Parameters:
        stdout, stderr: the ends of what a command or a function's process printed.
        log: the end of what a function logged.
        body: the end of a response.
        stdout_base64, stderr_base64, body_base64: the same ends as bytes, in base64, where they are not UTF-8.
        stdout_bytes, stderr_bytes, log_bytes, body_bytes: how many bytes there were in all.
        exit_code: a process's, once it has ended; negative for the signal that ended it.
        status: a response's, once it has begun.
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


class LiveOutput:
    """The output of a run that goes on; false while there is none of any kind."""

    __slots__ = ("body", "exit_code", "log", "status", "stderr", "stdout")

    def __init__(self) -> None:
        self.stdout: Tail = Tail()
        self.stderr: Tail = Tail()
        self.log: Tail = Tail()
        self.body: Tail = Tail()
        self.exit_code: int | None = None
        self.status: int | None = None

    def snapshot(self) -> Output:
        """What there is to be read now."""
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
        )

    def __bool__(self) -> bool:
        seen = self.stdout.seen + self.stderr.seen + self.log.seen + self.body.seen
        return bool(seen) or self.exit_code is not None or self.status is not None


def _whole(number: object) -> int | None:
    """A number that a function may have set to anything, if it is one that can be shown."""
    return number if type(number) is int and abs(number) <= WHOLE_MAX else None
