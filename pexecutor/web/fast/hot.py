"""The hot routes: what is asked thousands of times a second, answered before the framework sees it.

A request is hot when it is plain: one of a few targets, written in the one way in which everybody writes it, without
anything that may have to be waited for while the client may leave. Every other request steps aside to the app, which
answers it just so: both call the same functions, behind the same gate, in the same context of the log.

The hottest of all, a submit of one task, can also be answered in steps, between which many are at hand.
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
from .accepted import accepted, is_new
from .heads import KnownHeads
from .request import CutOffError, Ends, Request
from .response import written

_ID: Final = re.compile(rb"/tasks/([0-9a-z]{1,20}-[0-9]{1,20})")
_PLAIN_QUERY: Final = re.compile(rb"(?!.*wait)(?:&?[a-z_]{1,20}=[A-Za-z0-9._-]{1,200}){1,10}")
"""One that needs no decoding, and does not ask to wait."""

NO_ARGUMENTS: Final[Arguments] = {}

Answer = Callable[[IncomingRequest, Arguments], Awaitable[Reply]]


class Hot(NamedTuple):
    """How a request will be answered."""

    need: Need
    answer: Answer
    arguments: Arguments


class Submit(msgspec.Struct, frozen=True, gc=False):
    """A request that submits one task.

    Parameters:
        request_id: its id.
        identity: who asks, if that is known.
        task: the task, or what is answered without one.
    """

    request_id: str
    identity: Identity | None
    task: Task | Reply


class HotRoutes:
    """Answers what is hot.

    Parameters:
        gate: what lets requests pass.
        answers: what they come to.
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
        """How to answer a request at once, or ``None`` when the app has to."""
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
        """What it comes to, errors too."""
        tokens = {**bind_contextvars(request_id=request.id)}
        try:
            self._gate.admit(request, lambda: hot.need)
            if request.identity is not None:
                tokens.update(bind_contextvars(by=request.identity.name))
            return await hot.answer(request, hot.arguments)
        except CutOffError:
            raise
        except Exception as error:
            return _problem(error)
        finally:
            reset_contextvars(**tokens)

    # Submits of one task, in the steps of a round (see rounds.py)

    def known_submit(self, data: bytes, ends: Ends) -> Submit | None:
        """What some bytes submit, if their head has come before, and nothing is wrong with the task."""
        found = self._heads.find(data, ends)
        if found is None:
            return None
        known, body = found
        try:
            return Submit(new_request_id(), known.identity, self._answers.read(body))
        except Exception:  # that is told by submit_of(), which meets it again
            return None

    def submit_of(self, request: Request, data: bytes | None) -> Submit | None:
        """What a request submits; ``None`` when it is not plainly a submit.

        Parameters:
            data: what it was read from, if that is nothing else.
        """
        task = self.task_of(request)
        if task is None:
            return None
        if data is not None and request.identity is not None:
            self._heads.remember(data, request)
        return Submit(request.id, request.identity, task)

    def task_of(self, request: Request) -> Task | Reply | None:
        """The task that it submits, or what it is answered without one; ``None`` when it is not plainly a submit."""
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
        """Have them taken; ``None`` when that has to be waited for."""
        return self._answers.submit_nowait(tasks) if tasks else []

    async def submit(self, tasks: list[Task]) -> Sequence[Verdict | Reply]:
        """The same with waiting; each has its verdict, or all are answered what went wrong."""
        try:
            return await self._answers.submit_all(tasks)
        except Exception as error:
            return [_problem(error)] * len(tasks)

    def reply_to(self, submit: Submit, verdict: Verdict | Reply) -> bytes:
        """What a submit is answered for the verdict on its task."""
        if type(verdict) is Accepted and is_new(record := verdict.record):
            if self._answers.logs_submits:
                self._answers.log_one(record.task, **_context(submit))
            return accepted(record, submit.request_id)
        return written(self._reply_to(submit, verdict), submit.request_id)

    def _reply_to(self, submit: Submit, verdict: Verdict | Reply) -> Reply:
        if isinstance(verdict, Reply):
            return verdict
        assert isinstance(submit.task, Task), "only tasks have verdicts"
        try:
            return self._answers.reply_to_one(submit.task, verdict, **_context(submit))
        except Exception as error:
            return _problem(error)


def _context(submit: Submit) -> dict[str, str]:
    """What the log says of a request, besides what has become of it."""
    by = {} if submit.identity is None else {"by": submit.identity.name}
    return {"request_id": submit.request_id, **by}


def _problem(error: Exception) -> Reply:
    return problem_of(error) if isinstance(error, PexecutorError) else problem_of_bug(error)
