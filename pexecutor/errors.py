"""The whole failure vocabulary.

An error's name says whose move is next:

* the caller, with other input: ``InvalidTaskError``, ``InvalidCursorError``, ``ConfigError``;
* the caller, who named a thing that cannot be acted on: ``UnknownTaskError``, ``ExpiredTaskError``,
  ``AlreadyFinishedError``, ``AlreadyStartedError``;
* the operator, with another file or another program: ``UnusableStoreError``;
* the world, a while: ``StoreUnavailableError``;
* for a client of the HTTP API, the caller again: ``RefusedError``, ``ForeignReplyError``; or the world:
  ``UnreachableError``.

A full queue and a held name are no errors: they are verdicts (see ``task.py``), because in a batch they
befall some tasks and not others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec


class FieldError(msgspec.Struct, frozen=True):
    """One thing wrong with one submitted task.

    Parameters:
        index: its place in the batch, from 0.
        field: which field; ``None`` when the element as a whole is wrong.
        detail: what is wrong with it.
    """

    index: int
    field: str | None
    detail: str


class PexecutorError(Exception):
    """Everything that pexecutor raises on purpose."""


class InvalidTaskError(PexecutorError):
    """The caller sent tasks that cannot be taken; none of them was."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        self.errors: tuple[FieldError, ...] = tuple(errors)
        super().__init__(errors[0].detail if errors else "invalid task")


class InvalidCursorError(PexecutorError):
    """The caller sent a page cursor that no listing has given out."""


class ConfigError(PexecutorError):
    """The operator gave a setting that cannot be used; the message names the setting and its source."""


class UnusableStoreError(PexecutorError):
    """The operator gave a file that tasks cannot be kept in; the message says why, and what to do."""


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


class RefusedError(PexecutorError):
    """A server has understood a request, and refuses it.

    Parameters:
        status: the reply's.
        problem: its problem details; empty when it had none.
        retry_after: what it says about when to come back, as it is.
    """

    def __init__(self, status: int, problem: Mapping[str, Any], retry_after: str | None = None) -> None:
        self.status = status
        self.problem = problem
        self.retry_after = retry_after
        super().__init__(problem.get("detail") or f"the server answered with the status {status}")


class UnreachableError(PexecutorError):
    """A server cannot be reached, or the connection to it was lost; it may come back."""


class ForeignReplyError(PexecutorError):
    """The caller gave a URL at which something else answers."""


def first_cause(error: BaseException) -> BaseException:
    """The error itself, or the first one in a group, and in the groups in there."""
    while isinstance(error, BaseExceptionGroup):
        [error, *_] = error.exceptions
    return error
