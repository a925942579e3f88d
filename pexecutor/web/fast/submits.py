"""Answer submits of one task in steps, each for many submits at a time (see ``rounds.py``).

The replies are the same as those of ``TaskAnswers.submit``, behind the same gate.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ...access import Identity
from ...task import Accepted, Task, Verdict
from ..api.errors import problem_of
from ..api.reply import Reply
from ..api.route import Route
from ..api.tasks import TaskAnswers
from ..serving.answering import Answering, log_context
from ..serving.quart_app import new_request_id
from .accepted import encode_accepted, is_new
from .heads import KnownHeads
from .prompt import PromptRoutes
from .request import Ends, Request
from .response import encode_reply


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


class Submits:
    """Answers submits of one task.

    Parameters:
        answering: admits the submits.
        answers: answers the admitted submits.
        prompt: finds the route of a request.
        route: the route of submits.
    """

    def __init__(self, answering: Answering, answers: TaskAnswers, prompt: PromptRoutes, route: Route) -> None:
        self._answering = answering
        self._answers = answers
        self._prompt = prompt
        self._route = route
        self._heads = KnownHeads()

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
        if body is None or not self._answers.is_one(body) or not self._is_submit(request):
            return None
        with log_context(request):
            try:
                self._answering.admit(request, self._route)
                return self._answers.read_one(request, body)
            except Exception as error:
                return problem_of(error)

    def _is_submit(self, request: Request) -> bool:
        """Return whether a request is a submit without a query."""
        return b"?" not in request.target and self._prompt.find(request) is self._route

    def submit_nowait(self, tasks: list[Task]) -> list[Verdict] | None:
        """Submit the tasks and return their verdicts, or submit none and return ``None`` if that needs a wait."""
        return self._answers.submit_nowait(tasks) if tasks else []

    async def submit(self, tasks: list[Task]) -> Sequence[Verdict | Reply]:
        """Submit the tasks and return their verdicts; if the submit fails, return an error reply for each task."""
        try:
            return await self._answers.submit_all(tasks)
        except Exception as error:
            return [problem_of(error)] * len(tasks)

    def reply_to(self, submit: Submit, verdict: Verdict | Reply) -> bytes:
        """Return the bytes of the reply to a submit with this verdict on its task."""
        if type(verdict) is Accepted and is_new(record := verdict.record):
            if self._answers.logs_submits:
                self._answers.log_one(record.task, **_context(submit))
            return encode_accepted(record, self._route.path, submit.request_id)
        return encode_reply(self._reply_to(submit, verdict), submit.request_id)

    def _reply_to(self, submit: Submit, verdict: Verdict | Reply) -> Reply:
        if isinstance(verdict, Reply):
            return verdict
        assert isinstance(submit.task, Task), "only tasks have verdicts"
        try:
            return self._answers.reply_to_one(submit.task, verdict, self._route.path, **_context(submit))
        except Exception as error:
            return problem_of(error)


def _context(submit: Submit) -> dict[str, str]:
    """Return the context of a submit's log lines."""
    by = {} if submit.identity is None else {"by": submit.identity.name}
    return {"request_id": submit.request_id, **by}
