"""``Handler``: the contract of all handlers.

* ``check`` is called when a task is submitted. It has no side effects and is cheap. If it returns a complaint, the task
  is refused.
* ``run`` makes one attempt, in a cancel scope of its own: a timeout, a cancel and the hard stop all arrive as
  ``trio.Cancelled``. It returns a value that JSON can express, or raises.
* When ``run`` has returned or raised, nothing that it started may still run, because the task's name is freed then.
* An attempt that raises has failed, and its record holds the text of the exception. ``HandlerFailedError`` also says
  whether and when to retry; after any other exception the task may be retried.

The handler classes of this package set ``contains_itself``: they keep the operator's code within the attempt. A handler
of any other class is called in a Trio task of its own (see ``containment.py``).

Road not taken: a base class. Handlers share nothing except this contract.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from ..errors import PexecutorError
from ..task import Task
from ..values import attribute, exception_text, retry_after_seconds, sole_exception, truth
from .context import Context

Complaint = tuple[str, str]
"""The invalid field of a task (``params.width``), and a sentence that says what is wrong."""


class Handler(Protocol):
    """Code that runs tasks."""

    @property
    def description(self) -> str:
        """Return what the handler does, in one line."""

    @property
    def params_schema(self) -> dict[str, Any]:
        """Return the JSON Schema of the handler's params."""

    def check(self, task: Task, /) -> Complaint | None:
        """Return why the handler refuses the task, or ``None``."""

    @property
    def ends_with_us(self) -> bool:
        """Return whether the work always ends with this process, even if it is killed: no other process does it."""

    async def run(self, context: Context, task: Task, /) -> Any:
        """Make one attempt.

        Raises:
            HandlerFailedError: the attempt failed, and the handler knows whether to retry.
        """


class HandlerFailedError(PexecutorError):
    """The attempt failed. If ``retryable`` is true, the executor acts next with a retry; otherwise the operator does.

    Parameters:
        message: one sentence that says why, for the record.
        retryable: whether another attempt may succeed.
        retry_after_seconds: the shortest wait before the next attempt, or ``None`` if it is unknown.
    """

    def __init__(self, message: str, *, retryable: bool = True, retry_after_seconds: float | None = None) -> None:
        self.retryable = retryable
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message)


class EndedBySignalError(HandlerFailedError):
    """A signal that the server did not send ended the attempt. If a drain begins at that moment, the task is released.

    A service manager, or Ctrl-C in a terminal, signals the server and its commands at once.
    """


class Failure(NamedTuple):
    """Why an attempt failed, fit for a record."""

    text: str
    retryable: bool
    retry_after_seconds: float


def failure_of(error: BaseException) -> Failure:
    """Return the failure that an exception of a handler describes. The exception may be of any class."""
    text, sole = exception_text(error), sole_exception(error)
    if not issubclass(type(sole), HandlerFailedError):
        return Failure(text, True, 0.0)
    retryable = truth(attribute(sole, "retryable", True), default=True)
    return Failure(text, retryable, retry_after_seconds(attribute(sole, "retry_after_seconds")))
