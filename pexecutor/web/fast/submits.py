"""Answer submits of one task or a short list in steps, each for many submits at a time (see ``rounds.py``).

The replies are the same as those of ``SubmitAnswers.submit``, behind the same gate.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from ...access import Identity
from ...task import Accepted, Task, Verdict
from ..api.coalesce import TASKS_TOGETHER_MAX
from ..api.decode import TaskBody
from ..api.errors import problem_of
from ..api.idempotency import KEY_HEADER
from ..api.reply import Reply
from ..api.request import link_to, with_trace
from ..api.route import Route
from ..api.submit import SubmitAnswers
from ..serving.answering import Answering, log_context
from ..serving.quart_app import new_request_id
from .accepted import encode_accepted, is_new
from .heads import KnownHeads
from .prompt import PromptRoutes
from .request import Ends, Request
from .response import encode_reply

_NO_TASKS: Final = TaskBody([], is_list=True)


class Submit(msgspec.Struct, frozen=True, gc=False):
    """A request that submits one task or a short list.

    Parameters:
        request_id: the id of the request.
        identity: the caller, or ``None`` if unknown.
        tasks_link: the link to the tasks, with which links to records begin.
        sent: the tasks; none if there is an error.
        error: the error reply to a request without valid tasks.
    """

    request_id: str
    identity: Identity | None
    tasks_link: str
    sent: TaskBody
    error: Reply | None = None


class Submits:
    """Answers submits of one task or a short list.

    Parameters:
        answering: admits the submits.
        answers: answers the admitted submits.
        prompt: finds the route of a request.
        route: the route of submits.
    """

    def __init__(self, answering: Answering, answers: SubmitAnswers, prompt: PromptRoutes, route: Route) -> None:
        self._answering = answering
        self._answers = answers
        self._prompt = prompt
        self._route = route
        self._heads = KnownHeads()

    def known_submit(self, data: bytes, ends: Ends) -> Submit | None:
        """Return the submit that the data holds, if its head is remembered and its tasks are valid, else ``None``."""
        found = self._heads.find(data, ends, self._answering.gate.generation)
        if found is None or not self._answers.is_short(found[1]):
            return None
        known, body = found
        try:
            sent = self._answers.read(body)
        except Exception:  # submit_of() finds the same fault again, and makes the error reply
            return None
        if len(sent.tasks) > TASKS_TOGETHER_MAX:
            return None
        return Submit(new_request_id(), known.identity, known.tasks_link, sent)

    def submit_of(self, request: Request, data: bytes | None) -> Submit | None:
        """Return the submit of one task or a short list that a request holds, or ``None`` if it is another request.

        Parameters:
            data: the bytes of the request, or ``None`` if they were not read in one piece.
        """
        sent = self.tasks_of(request)
        if sent is None:
            return None
        link = link_to(request, self._route.path)
        if data is not None and request.identity is not None:
            self._heads.remember(data, request, self._answering.gate.generation, link)
        if isinstance(sent, Reply):
            return Submit(request.id, request.identity, link, _NO_TASKS, sent)
        return Submit(request.id, request.identity, link, sent)

    def tasks_of(self, request: Request) -> TaskBody | Reply | None:
        """Return the tasks of a short submit, or its error reply; ``None`` if the request is another one."""
        body = request.chunks.whole
        if body is None or not self._answers.is_short(body) or not self._is_submit(request):
            return None
        with log_context(request):
            try:
                self._answering.admit(request, self._route)
                sent = self._answers.read(body)
            except Exception as error:
                return problem_of(error)
        if len(sent.tasks) > TASKS_TOGETHER_MAX:
            return None
        return TaskBody(with_trace(request, sent.tasks), sent.is_list)

    def _is_submit(self, request: Request) -> bool:
        """Return whether a request is a submit without options: it has no query and no key."""
        if b"?" in request.target or KEY_HEADER in request.headers:
            return False
        return self._prompt.find(request) is self._route

    def submit_nowait(self, tasks: list[Task]) -> list[Verdict] | None:
        """Submit the tasks and return their verdicts, or submit none and return ``None`` if that needs a wait."""
        return self._answers.submit_nowait(tasks) if tasks else []

    async def submit(self, tasks: list[Task]) -> Sequence[Verdict] | Reply:
        """Submit the tasks and return their verdicts; if the submit fails, return the error reply."""
        try:
            return await self._answers.submit_all(tasks)
        except Exception as error:
            return problem_of(error)

    def reply_to(self, submit: Submit, verdicts: Sequence[Verdict] | Reply) -> bytes:
        """Return the bytes of the reply to a submit with these verdicts on its tasks."""
        if type(verdicts) is list and not submit.sent.is_list and submit.error is None:
            [verdict] = verdicts
            if type(verdict) is Accepted and is_new(record := verdict.record):
                if self._answers.logs_submits:
                    self._answers.log_one(record.task, **_context(submit))
                return encode_accepted(record, submit.tasks_link, submit.request_id)
        return encode_reply(self._reply_to(submit, verdicts), submit.request_id)

    def _reply_to(self, submit: Submit, verdicts: Sequence[Verdict] | Reply) -> Reply:
        if submit.error is not None:
            return submit.error
        if isinstance(verdicts, Reply):
            return verdicts
        try:
            return self._answers.reply(submit.sent, verdicts, submit.tasks_link, "refused", **_context(submit))
        except Exception as error:
            return problem_of(error)


def _context(submit: Submit) -> dict[str, str]:
    """Return the context of a submit's log lines."""
    by = {} if submit.identity is None else {"by": submit.identity.name}
    return {"request_id": submit.request_id, **by}
