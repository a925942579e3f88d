"""The hot routes: requests that come thousands of times a second, answered before the framework sees them.

A request is hot if its target is one of a few in their usual spelling, and if its reply cannot take so long that the
client may disconnect meanwhile. Every other request goes to the app, which gives the same replies: both call the same
functions, behind the same gate, with the same context for the log.

The most frequent request, a submit of one task, can also be answered in the steps of ``submits.py``.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, NamedTuple
from urllib.parse import parse_qs

from structlog.contextvars import bind_contextvars, reset_contextvars

from ...errors import PexecutorError
from ...task import State
from ..access.gate import NEEDS, Gate, Need
from ..api.errors import problem_of, problem_of_bug
from ..api.reply import Reply
from ..api.request import IncomingRequest
from ..api.tasks import Arguments, TaskAnswers
from .request import CutOffError, Request

_ID: Final = re.compile(rb"/tasks/([0-9a-z]{1,20}-[0-9]{1,20})")
_PLAIN_QUERY: Final = re.compile(rb"(?!.*wait)(?:&?[a-z_]{1,20}=[A-Za-z0-9._-]{1,200}){1,10}")
"""A query that needs no percent-decoding and has no parameter that waits."""

NO_ARGUMENTS: Final[Arguments] = {}

Answer = Callable[[IncomingRequest, Arguments], Awaitable[Reply]]


class Hot(NamedTuple):
    """A hot request's scope, the function that answers it, and its arguments."""

    need: Need
    answer: Answer
    arguments: Arguments


class HotRoutes:
    """Answers hot requests.

    Parameters:
        gate: decides whether a request is admitted.
        answers: answers the admitted requests.
    """

    def __init__(self, gate: Gate, answers: TaskAnswers) -> None:
        self._gate = gate
        self._answers = answers

        async def one_state(state: State, _: IncomingRequest, arguments: Arguments) -> Reply:
            return await answers.one_state(state, arguments)

        self._submit = Hot(NEEDS["POST /tasks"], answers.submit, NO_ARGUMENTS)
        self._listings = {
            b"/tasks/%b" % state.encode(): Hot(NEEDS[f"GET /tasks/{state}"], partial(one_state, state), NO_ARGUMENTS)
            for state in (State.PENDING, State.RUNNING)
        }

    def find(self, request: Request) -> Hot | None:
        """Return how to answer a hot request, or ``None`` if the app has to answer it."""
        path, mark, query = request.target.partition(b"?")
        hot = self._find(request, path)
        if hot is None or not mark:
            return hot
        if _PLAIN_QUERY.fullmatch(query) is None:
            return None
        return hot._replace(arguments=parse_qs(query.decode("ascii"), keep_blank_values=True))

    def is_submit(self, request: Request) -> bool:
        """Return whether a request is a hot submit without a query."""
        return self.find(request) is self._submit

    def _find(self, request: Request, path: bytes) -> Hot | None:
        if request.http_version != "1.1" or request.expects_continue:
            return None
        if request.method == "POST":
            return self._submit if path == b"/tasks" and request.is_json and not request.is_coded else None
        if request.method != "GET" or not request.chunks.ended:
            return None
        if path in self._listings:
            return self._listings[path]
        one = _ID.fullmatch(path)
        return None if one is None else Hot(NEEDS["GET /tasks/{}"], partial(self._show, one[1].decode()), NO_ARGUMENTS)

    async def _show(self, task_id: str, _: IncomingRequest, arguments: Arguments) -> Reply:
        return await self._answers.show(task_id, arguments)

    async def answer(self, request: Request, hot: Hot) -> Reply:
        """Return the reply to a hot request; an error becomes an error reply."""
        tokens = {**bind_contextvars(request_id=request.id)}
        try:
            self._gate.admit(request, lambda: hot.need)
            if request.identity is not None:
                tokens.update(bind_contextvars(by=request.identity.name))
            return await hot.answer(request, hot.arguments)
        except CutOffError:  # the client is gone, so a reply would be useless
            raise
        except Exception as error:
            return problem(error)
        finally:
            reset_contextvars(**tokens)


def problem(error: Exception) -> Reply:
    """Return the reply to an error of a hot request."""
    return problem_of(error) if isinstance(error, PexecutorError) else problem_of_bug(error)
