"""Answer requests about limits and pauses: one method for each route."""

from __future__ import annotations

from ...core.executor import Executor
from .limit_wire import handler_states, pauses_view, reason_view
from .reply import Reply, json_reply
from .request import IncomingRequest


class LimitAnswers:
    """Answers about the limits and pauses of one executor."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def pause(self, request: IncomingRequest) -> Reply:
        """Start no more tasks; show all pauses."""
        return json_reply(pauses_view(await self._executor.limits.pause(None, _caller(request))))

    async def resume(self, request: IncomingRequest) -> Reply:
        """End the pause of everything; show the pauses that are left."""
        return json_reply(pauses_view(await self._executor.limits.resume(None, _caller(request))))

    async def pause_handler(self, request: IncomingRequest) -> Reply:
        """Start no more tasks of a handler; show all pauses."""
        handler = request.parameters["name"]
        return json_reply(pauses_view(await self._executor.limits.pause(handler, _caller(request))))

    async def resume_handler(self, request: IncomingRequest) -> Reply:
        """End the pause of a handler; show the pauses that are left."""
        handler = request.parameters["name"]
        return json_reply(pauses_view(await self._executor.limits.resume(handler, _caller(request))))

    async def why(self, request: IncomingRequest) -> Reply:
        """Show why a task does not run."""
        reasons = await self._executor.limits.why(request.parameters["id"])
        return json_reply([reason_view(reason) for reason in reasons])

    async def handlers(self, _: IncomingRequest) -> Reply:
        """List the handlers: their params, limits and pauses, and the outcomes and run times of their tasks."""
        handlers, store = self._executor.handlers, self._executor.statistics().store
        run_times = self._executor.timings().attempts
        return json_reply([*handler_states(handlers.describe(), handlers.limits.of_handler, store, run_times)])


def _caller(request: IncomingRequest) -> str:
    """Return the name of the caller's token."""
    assert request.identity is not None, "these routes need a scope"
    return request.identity.name
