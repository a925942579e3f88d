"""What a handler is: the contract that everything which runs tasks keeps.

* ``check`` is asked when a task is submitted. It has no side effect and is cheap; a complaint refuses the task.
* ``run`` is one attempt, in a cancel scope of its own: a timeout, a cancel and the hard stop all arrive as
  ``trio.Cancelled``. It returns what JSON can say, or raises.
* When ``run`` has returned or raised, nothing that it started is still at work. The task's name is freed then.
* An attempt that raises has failed, and the error's text is what the record says of it. ``HandlerFailedError`` also
  says whether and when it is worth another try; any other error may be retried.

The classes of this package have ``contains_itself``: they keep the operator's code within the attempt. A handler of any
other class is called in a Trio task of its own (see ``containment.py``).

Road not taken: a base class to inherit from. A handler shares nothing with another but this.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from ..errors import PexecutorError
from ..task import Task
from ..values import attribute, exception_text, retry_after_seconds, sole_exception, truth
from .context import Context

Complaint = tuple[str, str]
"""The field of a task that is wrong (``params.width``), and a sentence on why."""


class Handler(Protocol):
    """Runs tasks."""

    @property
    def description(self) -> str:
        """What it does, in a line."""

    @property
    def params_schema(self) -> dict[str, Any]:
        """The JSON Schema of the params it takes."""

    def check(self, task: Task, /) -> Complaint | None:
        """What is wrong with the task, or ``None``."""

    @property
    def ends_with_us(self) -> bool:
        """Whether its work ends with this process, however that ends: nothing that it starts can go on alone."""

    async def run(self, context: Context, task: Task, /) -> Any:
        """Make one attempt.

        Raises:
            HandlerFailedError: it failed, and it is known whether to retry.
        """


class HandlerFailedError(PexecutorError):
    """The attempt failed; whose move is next is said by ``retryable``.

    Parameters:
        message: one sentence that says why, for the record.
        retryable: whether another attempt could end otherwise.
        retry_after_seconds: the least that the next attempt should wait, when that is known.
    """

    def __init__(self, message: str, *, retryable: bool = True, retry_after_seconds: float | None = None) -> None:
        self.retryable = retryable
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message)


class EndedBySignalError(HandlerFailedError):
    """A signal that we did not send ended the attempt. If a drain begins at that moment, its task is released.

    A service manager, or Ctrl-C in a terminal, signals the server and its commands at once.
    """


class Failure(NamedTuple):
    """Why an attempt failed, fit for a record."""

    text: str
    retryable: bool
    retry_after_seconds: float


def failure_of(error: BaseException) -> Failure:
    """Return what an exception of a handler says; it may be any exception, and hold anything."""
    text, sole = exception_text(error), sole_exception(error)
    if not issubclass(type(sole), HandlerFailedError):
        return Failure(text, True, 0.0)
    retryable = truth(attribute(sole, "retryable", True), default=True)
    return Failure(text, retryable, retry_after_seconds(attribute(sole, "retry_after_seconds")))
