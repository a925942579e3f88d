"""Answer requests: the one place that admits them, binds the context of the log, and turns errors into replies.

The framework's adapter and the fast listener call it. So both have the same checks in the same order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

import msgspec
from structlog.contextvars import bind_contextvars, unbind_contextvars

from ..access.admissions import RevocableParts
from ..access.gate import Gate
from ..api.decode import decode_query
from ..api.errors import problem_of
from ..api.reply import Reply
from ..api.request import CutOffError, IncomingRequest, link_to
from ..api.route import Answer, Route, RouteTable


class Answering:
    """Answers requests.

    Parameters:
        gate: decides whether a request is admitted.
        table: the routes; their scopes are looked up at each request.
        services: the objects whose methods answer.
    """

    def __init__(self, gate: Gate, table: RouteTable, services: Iterable[object]) -> None:
        services = list(services)
        self.gate: Gate = gate
        self._scopes = table.scopes
        self._answers = {route.rule: _decoding(route.query, route.answer_of(services)) for route in table.routes}

    async def answer(self, request: IncomingRequest, route: Route) -> Reply:
        """Return the reply to a request for a route of the table; an error becomes an error reply."""
        return await self._answer(request, route, self._answers[route.rule])

    async def answer_unrouted(self, request: IncomingRequest, answer: Answer) -> Reply:
        """Return the reply to a request without a route, such as one for an unknown path."""
        return await self._answer(request, None, answer)

    async def _answer(self, request: IncomingRequest, route: Route | None, answer: Answer) -> Reply:
        with log_context(request):
            try:
                self.admit(request, route)
                return await answer(request) if request.identity is None else await self._answer_known(request, answer)
            except CutOffError:  # the client is gone, so a reply would be useless
                raise
            except Exception as error:
                return problem_of(error, prefix=link_to(request, ""))

    async def _answer_known(self, request: IncomingRequest, answer: Answer) -> Reply:
        """Answer a known caller, until the caller's token is removed."""
        assert request.identity is not None, "the gate has set it"
        with ExitStack() as registered:
            request.admission = admission = registered.enter_context(self.gate.admissions.of(request.identity))
            with admission.until_revoked():
                reply = await answer(request)
            if isinstance(reply.content, bytes):
                return reply
            if reply.until_sent is not None:
                registered.push(reply.until_sent)
            content = RevocableParts(reply.content, admission)
            return reply._replace(content=content, until_sent=registered.pop_all())

    def admit(self, request: IncomingRequest, route: Route | None) -> None:
        """Admit a request and set its ``identity``, or raise the error to answer it with.

        Parameters:
            route: the route of the request. Without one, every caller is admitted: the methods and the unknown paths
                are public.
        """
        self.gate.admit(request, "open" if route is None else self._scopes.get(route.rule))
        if request.identity is not None:
            bind_contextvars(by=request.identity.name)


@contextmanager
def log_context(request: IncomingRequest) -> Iterator[None]:
    """Add the request's id to the lines that are logged in the body, and the caller's name once it is admitted."""
    bind_contextvars(request_id=request.id)
    try:
        yield
    finally:
        unbind_contextvars("request_id", "by")


def _decoding(query: type[msgspec.Struct] | None, answer: Answer) -> Answer:
    """Return an answer that first decodes the query string, if the route has a type for it."""
    if query is None:
        return answer

    async def decode_and_answer(request: IncomingRequest) -> Reply:
        request.query = decode_query(request.arguments, query)
        return await answer(request)

    return decode_and_answer
