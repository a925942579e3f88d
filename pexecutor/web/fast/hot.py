"""The hot routes: requests that come thousands of times a second, answered before the framework sees them.

A request is hot if its target is one of a few in their usual spelling, and if its reply cannot take so long that the
client may disconnect meanwhile. Every other request goes to the app, which gives the same replies: both call the same
functions, behind the same gate, with the same context for the log.

The most frequent request, a submit of one task, can also be answered in steps, each for many submits at a time.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, NamedTuple
from urllib.parse import parse_qs

import msgspec
from structlog.contextvars import bind_contextvars, reset_contextvars

from ...access import Identity
from ...errors import PexecutorError
from ...task import Accepted, State, Task, Verdict
from ..access.gate import NEEDS, Gate, Need
from ..api.errors import problem_of, problem_of_bug
from ..api.reply import Reply
from ..api.request import IncomingRequest
from ..api.tasks import Arguments, TaskAnswers
from ..serving.quart_app import new_request_id
from .accepted import encode_accepted, is_new
from .heads import KnownHeads
from .request import CutOffError, Ends, Request
from .response import encode_reply

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


class Submit(msgspec.Struct, frozen=True, gc=False):
    """A request that submits one task.

    Parameters:
        request_id: the id of the request.
        identity: the caller, or ``None`` if unknown.
        task: the task, or the error reply to a request without a valid task.
    """

    request_id: str
    identity: Identity | None
    task: Task | Reply


class HotRoutes:
    """Answers hot requests.

    Parameters:
        gate: decides whether a request is admitted.
        answers: answers the admitted requests.
    """

    def __init__(self, gate: Gate, answers: TaskAnswers) -> None:
        self._gate = gate
        self._answers = answers
        self._heads = KnownHeads()

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
            return _problem(error)
        finally:
            reset_contextvars(**tokens)

    # Submits of one task, in the steps of a round (see rounds.py)

    def known_submit(self, data: bytes, ends: Ends) -> Submit | None:
        """Return the submit that the data holds, if its head is remembered and its task is valid, else ``None``."""
        found = self._heads.find(data, ends)
        if found is None:
            return None
        known, body = found
        try:
            return Submit(new_request_id(), known.identity, self._answers.read(body))
        except Exception:  # submit_of() finds the same fault again, and makes the error reply
            return None

    def submit_of(self, request: Request, data: bytes | None) -> Submit | None:
        """Return the submit of one task that a request holds, or ``None`` if it is another request.

        Parameters:
            data: the bytes of the request, or ``None`` if they were not read in one piece.
        """
        task = self.task_of(request)
        if task is None:
            return None
        if data is not None and request.identity is not None:
            self._heads.remember(data, request)
        return Submit(request.id, request.identity, task)

    def task_of(self, request: Request) -> Task | Reply | None:
        """Return the task of a submit of one task, or its error reply; ``None`` if the request is another one."""
        body = request.chunks.whole
        if body is None or not self._answers.is_one(body) or self.find(request) is not self._submit:
            return None
        tokens = bind_contextvars(request_id=request.id)
        try:
            self._gate.admit(request, lambda: self._submit.need)
            return self._answers.read_one(request, body)
        except Exception as error:
            return _problem(error)
        finally:
            reset_contextvars(**tokens)

    def submit_nowait(self, tasks: list[Task]) -> list[Verdict] | None:
        """Submit the tasks and return their verdicts, or submit none and return ``None`` if that needs a wait."""
        return self._answers.submit_nowait(tasks) if tasks else []

    async def submit(self, tasks: list[Task]) -> Sequence[Verdict | Reply]:
        """Submit the tasks and return their verdicts; if the submit fails, return an error reply for each task."""
        try:
            return await self._answers.submit_all(tasks)
        except Exception as error:
            return [_problem(error)] * len(tasks)

    def reply_to(self, submit: Submit, verdict: Verdict | Reply) -> bytes:
        """Return the bytes of the reply to a submit with this verdict on its task."""
        if type(verdict) is Accepted and is_new(record := verdict.record):
            if self._answers.logs_submits:
                self._answers.log_one(record.task, **_context(submit))
            return encode_accepted(record, submit.request_id)
        return encode_reply(self._reply_to(submit, verdict), submit.request_id)

    def _reply_to(self, submit: Submit, verdict: Verdict | Reply) -> Reply:
        if isinstance(verdict, Reply):
            return verdict
        assert isinstance(submit.task, Task), "only tasks have verdicts"
        try:
            return self._answers.reply_to_one(submit.task, verdict, **_context(submit))
        except Exception as error:
            return _problem(error)


def _context(submit: Submit) -> dict[str, str]:
    """Return the context of a submit's log lines."""
    by = {} if submit.identity is None else {"by": submit.identity.name}
    return {"request_id": submit.request_id, **by}


def _problem(error: Exception) -> Reply:
    return problem_of(error) if isinstance(error, PexecutorError) else problem_of_bug(error)
