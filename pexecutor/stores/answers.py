"""Remembered answers: by them a repeated request gets its first answer again, instead of a second task.

A request has a key: the name of a hook and the id of a delivery, or the name of a token and the key that a client
chose. The answer is kept in short, one number per task, because the records of its tasks are in the store anyway.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from sys import byteorder
from typing import Final, Literal, NamedTuple, Protocol

import msgspec

from ..task import Accepted, Duplicate, Task, Verdict, format_task_id

KEY_BYTES_MAX: Final = 255
"""The largest scope and the largest key, in bytes of UTF-8."""

DIGEST_BYTES_MAX: Final = 64

ANSWER_BYTES: Final = 256
"""The bytes that an answer counts for, in addition to its key, its digest and its verdicts."""

VERDICT_BYTES: Final = 8
"""The bytes that a verdict counts for."""

_NUMBERS: Final = "q"  # signed, 8 bytes: a serial has 63 bits


class AnswerBounds(NamedTuple):
    """The bounds of the remembered answers, for each kind of request.

    Parameters:
        answers_max: how many answers are remembered.
        bytes_max: how many bytes they take in all.
        seconds_max: how long an answer is remembered, in seconds.
    """

    answers_max: int = 10_000
    bytes_max: int = 16 * 1024 * 1024
    seconds_max: float = 24 * 60 * 60.0


ANSWER_BOUNDS: Final = AnswerBounds()


class RequestKind(StrEnum):
    """The kinds of requests with a key. Each has bounds of its own, so no kind displaces the answers of another."""

    HOOK = "hook"
    """A delivery to a hook: the scope is the name of the hook, the key is the id of the delivery."""
    TOKEN = "token"
    """A submit with an ``Idempotency-Key``: the scope is the name of the token."""


class RequestKey(msgspec.Struct, frozen=True):
    """The key of a request. Two requests with equal keys are the same request.

    Parameters:
        kind: the kind of the request.
        scope: the sender to whom the key belongs; 1 to 255 bytes of UTF-8.
        key: the key that the sender gave; 1 to 255 bytes of UTF-8.

    Raises:
        ValueError: the scope or the key is empty, has too many bytes or is not valid Unicode.
    """

    kind: RequestKind
    scope: str
    key: str

    def __post_init__(self) -> None:
        for name, text in (("scope", self.scope), ("key", self.key)):
            if not 1 <= len(text.encode()) <= KEY_BYTES_MAX:
                raise ValueError(f"the {name} of a request must be 1 to {KEY_BYTES_MAX} bytes of UTF-8")


class ShortVerdict(NamedTuple):
    """The verdict on one task, in short.

    Parameters:
        verdict: the verdict.
        serial: the serial of the accepted task, or of the holder of the name; 0 if the queue was full.
    """

    verdict: Literal["accepted", "duplicate", "full"]
    serial: int

    @property
    def id(self) -> str | None:
        """Return the id of the accepted task or of the holder, or ``None`` if the queue was full."""
        return format_task_id(self.serial) if self.serial else None


class Answer(msgspec.Struct, frozen=True, gc=False):
    """The remembered answer to a request.

    Parameters:
        digest: the digest of the request, as its caller gave it; at most 64 bytes.
        at: when the request was answered, in seconds since 1970.
        packed: the verdicts, packed; ``verdicts`` unpacks them.

    Raises:
        ValueError: the digest has too many bytes, or the packed verdicts are not a multiple of 8 bytes.
    """

    digest: bytes
    at: float
    packed: bytes

    def __post_init__(self) -> None:
        if len(self.digest) > DIGEST_BYTES_MAX:
            raise ValueError(f"the digest of a request must be at most {DIGEST_BYTES_MAX} bytes")
        if len(self.packed) % VERDICT_BYTES:
            raise ValueError("the packed verdicts must be a multiple of 8 bytes")

    @property
    def verdicts(self) -> list[ShortVerdict]:
        """Return the verdicts, in the order of the tasks."""
        return [_to_verdict(number) for number in self.numbers()]

    def numbers(self) -> Iterator[int]:
        """Yield a number per task: the serial of the accepted task, minus that of the holder, or 0."""
        numbers = array(_NUMBERS, self.packed)
        if byteorder == "little":
            numbers.byteswap()
        yield from numbers


def _to_verdict(number: int) -> ShortVerdict:
    if number > 0:
        return ShortVerdict("accepted", number)
    return ShortVerdict("duplicate", -number) if number else ShortVerdict("full", 0)


class KeyedAnswer(NamedTuple):
    """A remembered answer with the key of its request."""

    key: RequestKey
    answer: Answer


def answer_of(digest: bytes, at: float, numbers: Iterable[int]) -> Answer:
    """Return an answer from its number per task (see ``Answer.numbers``)."""
    packed = array(_NUMBERS, numbers)
    if byteorder == "little":
        packed.byteswap()
    return Answer(digest, at, packed.tobytes())


def to_number(verdict: Verdict) -> int:
    """Return the number by which an answer remembers a verdict."""
    match verdict:
        case Accepted(record=record):
            return record.serial
        case Duplicate(holder=holder):
            return -holder.serial
        case _:
            return 0


def answer_bytes(key: RequestKey, answer: Answer) -> int:
    """Return the bytes that an answer counts for."""
    return fixed_bytes(key, answer.digest) + len(answer.packed)


def fixed_bytes(key: RequestKey, digest: bytes) -> int:
    """Return the bytes that an answer counts for without its verdicts."""
    return ANSWER_BYTES + len(key.scope.encode()) + len(key.key.encode()) + len(digest)


class AnswerStore(Protocol):
    """The submits with a key; the docstring of ``stores`` says what each operation guarantees."""

    async def submit(
        self, key: RequestKey, digest: bytes, tasks: Sequence[Task], *, atomic: bool = False
    ) -> list[Verdict] | Answer: ...

    async def remembered(self, key: RequestKey) -> Answer | None: ...
