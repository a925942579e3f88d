"""All exceptions of the package.

The name of an error says who acts next:

* the caller, with other input: ``InvalidTaskError``, ``InvalidScheduleError``, ``InvalidCursorError``,
  ``ConfigError``;
* the caller, with another task: ``UnknownTaskError``, ``ExpiredTaskError``, ``AlreadyFinishedError``,
  ``AlreadyStartedError``;
* the caller, with another handler: ``UnknownHandlerError``;
* the caller, with another schedule: ``UnknownScheduleError``, ``OwnedScheduleError``,
  ``TooManySchedulesError``;
* the caller, after another limit or pause was removed: ``TooManyLimitsError``;
* the operator, with another file or another version of the program: ``UnusableStoreError``;
* the operator, at the next start: ``NotServingError``;
* no one, because trying again later may work: ``StoreUnavailableError``, and in the client ``UnreachableError``;
* the caller of the client, with another request or URL: ``RefusedError``, ``ForeignReplyError``; or by waiting longer:
  ``StillWaitingError``. ``client/errors.py`` has the refusals that need their own names.

A full queue and a held name are not errors but verdicts (see ``task.py``), because in a batch they concern some tasks
and not others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import msgspec

E = TypeVar("E", bound=BaseException)


class FieldError(msgspec.Struct, frozen=True):
    """A fault of one submitted task.

    Parameters:
        index: the task's index in the batch, from 0.
        field: the invalid field; ``None`` if the element as a whole is invalid.
        detail: a sentence that says what is wrong.
    """

    index: int
    field: str | None
    detail: str


class PexecutorError(Exception):
    """The base class of all errors that pexecutor raises on purpose."""


class InvalidTaskError(PexecutorError):
    """The caller sent invalid tasks. No task was accepted."""

    def __init__(self, errors: Sequence[FieldError]) -> None:
        self.errors: tuple[FieldError, ...] = tuple(errors)
        super().__init__(errors[0].detail if errors else "invalid task")


class InvalidScheduleError(PexecutorError):
    """The caller gave an invalid schedule. The message names the field, and shows a valid example."""

    def __init__(self, field: str, detail: str) -> None:
        self.field = field
        super().__init__(detail)


class UnknownHandlerError(PexecutorError):
    """The caller gave the name of a handler that the server does not have."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name = name
        super().__init__(f"no handler has the name {name!r}; the handlers are: {', '.join(known)}")


class UnknownScheduleError(PexecutorError):
    """The caller gave the name of a schedule that does not exist."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"no schedule has the name {name!r}")


class OwnedScheduleError(PexecutorError):
    """The caller wanted to change or remove a schedule that a settings file declares, through the API."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(
            f"the schedule {name!r} is declared in a settings file: change `[schedules.{name}]` there, and reload"
        )


class TooManySchedulesError(PexecutorError):
    """The caller gave one schedule more than the store keeps, or more bytes. Nothing was changed."""


class TooManyLimitsError(PexecutorError):
    """The caller set more numbers of limits and pauses than the store keeps. Nothing was changed."""


class InvalidCursorError(PexecutorError):
    """The caller sent a page cursor that did not come from a listing."""


class ConfigError(PexecutorError):
    """The operator gave an invalid setting. The message names the setting and its source."""


class NotServingError(PexecutorError):
    """The operator changed the settings of an executor that is draining or does not run. Nothing was changed."""

    def __init__(self) -> None:
        super().__init__("the settings can be changed only while the executor serves: the next start reads them")


class UnusableStoreError(PexecutorError):
    """The operator gave a store that cannot keep tasks. The message says why, and what to do."""


class _NamedTaskError(PexecutorError):
    sentence: ClassVar[str]

    def __init__(self, task_id: str) -> None:
        self.task_id = task_id
        super().__init__(self.sentence.format(task_id))


class UnknownTaskError(_NamedTaskError):
    """The caller gave an id that this store has never given to a task."""

    sentence = "no task has the id {!r}"


class ExpiredTaskError(_NamedTaskError):
    """The caller named a task whose record has left the bounded history."""

    sentence = "the task {!r} has ended and its record is no longer kept"


class AlreadyFinishedError(_NamedTaskError):
    """The caller named a finished task, which cannot be cancelled or changed."""

    sentence = "the task {!r} has already ended"


class AlreadyStartedError(_NamedTaskError):
    """The caller named a running task, whose place in the queue can no longer be changed."""

    sentence = "the task {!r} has already started"


class StoreUnavailableError(PexecutorError):
    """The store could not make a change durable. Nothing was changed; trying again later may work."""


class RefusedError(PexecutorError):
    """A server has refused a request of the caller.

    Parameters:
        status: the status of the reply.
        problem: the problem details of the reply; empty if it has none.
        retry_after: the header ``Retry-After`` of the reply, unchanged.
    """

    def __init__(self, status: int, problem: Mapping[str, Any], retry_after: str | None = None) -> None:
        self.status = status
        self.problem = problem
        self.retry_after = retry_after
        super().__init__(
            problem.get("detail") or f"the server answered with the status {status} and no reason: check the URL"
        )

    @property
    def retry_after_seconds(self) -> float | None:
        """How many seconds the server asks to wait before the request is sent again; ``None`` if it does not say."""
        return None if self.retry_after is None else _seconds_of(self.retry_after)


class StillWaitingError(PexecutorError):
    """The wait has timed out, and the task or drain goes on. The caller acts next."""


class UnreachableError(PexecutorError):
    """A server is unreachable, or the connection to it was lost. Trying again later may work."""


class ForeignReplyError(PexecutorError):
    """The caller gave the URL of a server that is not a pexecutor server."""


def _seconds_of(retry_after: str) -> float | None:
    """Return the seconds of a ``Retry-After`` header; pexecutor servers send whole seconds, never a date."""
    return float(retry_after) if retry_after.isascii() and retry_after.isdecimal() else None


def first_cause(error: BaseException) -> BaseException:
    """Return the first exception in a group and its nested groups, or the error itself if it is not a group."""
    while isinstance(error, BaseExceptionGroup):
        [error, *_] = error.exceptions
    return error


def cause_of(error: BaseException | None, kind: type[E]) -> E | None:
    """Return the first error of a kind in the chain of an error and its causes, or ``None``."""
    while error is not None and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    return error


def counted(number: int, one: str, several: str | None = None) -> str:
    """Return a number with its noun, for messages: ``1 task``, ``2 tasks``.

    Parameters:
        number: the number.
        one: the noun after 1, with its verb if one follows: ``task is``.
        several: the noun after other numbers; by default with an ``s`` at the end.
    """
    return f"{number} {one}" if number == 1 else f"{number} {several or one + 's'}"
