"""The whole failure vocabulary.

An error's name says whose move is next:

* the caller, with other input: ``InvalidTaskError``, ``InvalidCursorError``, ``ConfigError``;
* the caller, who named a thing that cannot be acted on: ``UnknownTaskError``, ``ExpiredTaskError``,
  ``AlreadyFinishedError``, ``AlreadyStartedError``;
* the world, a while: ``StoreUnavailableError``.

A full queue and a held name are no errors: they are verdicts (see ``task.py``), because in a batch they
befall some tasks and not others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import msgspec


class FieldError(msgspec.Struct, frozen=True):
    """One thing wrong with one submitted task.

    ``index`` is its place in the batch, from 0; ``field`` is ``None`` when the element as a whole is wrong.
    """

    index: int
    field: str | None
    detail: str


class PexecutorError(Exception):
    """Everything that pexecutor raises on purpose."""


class InvalidTaskError(PexecutorError):
    """The caller sent tasks that cannot be taken; none of them was."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        self.errors = tuple(errors)
        super().__init__(errors[0].detail if errors else "invalid task")


class InvalidCursorError(PexecutorError):
    """The caller sent a page cursor that no listing has given out."""


class ConfigError(PexecutorError):
    """The operator gave a setting that cannot be used; the message names the setting and its source."""


class _NamedTaskError(PexecutorError):
    sentence: ClassVar[str]

    def __init__(self, task_id: str) -> None:
        self.task_id = task_id
        super().__init__(self.sentence.format(task_id))


class UnknownTaskError(_NamedTaskError):
    """No task with this id was ever accepted by this store."""

    sentence = "no task has the id {!r}"


class ExpiredTaskError(_NamedTaskError):
    """The task did exist; its record has left the bounded history."""

    sentence = "the task {!r} has ended and its record is no longer kept"


class AlreadyFinishedError(_NamedTaskError):
    """The task has its outcome already, so nothing is left to cancel."""

    sentence = "the task {!r} has already ended"


class AlreadyStartedError(_NamedTaskError):
    """The task runs, so its place in the queue cannot be changed any more."""

    sentence = "the task {!r} has already started"


class StoreUnavailableError(PexecutorError):
    """The store could not make a change durable; nothing was changed, trying again later may work."""
