"""Answer deliveries to hooks: check each, and submit the task that it stands for."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
import structlog
from msgspec import UNSET, UnsetType

from ....config import Config
from ....core.executor import Executor
from ....errors import ConfigError, ExpiredTaskError, PexecutorError
from ....handlers import Catalogue
from ....stores.answers import Answer, RequestKey, RequestKind
from ....task import Accepted, Draining, Duplicate, Full, Record, Task, Verdict
from ....validation import unknown
from ..errors import UnknownHookError
from ..reply import Reply, json_reply, refusal_reply
from ..request import IncomingRequest, link_to, read_raw_body
from ..route import Route
from ..wire import TaskView, detail, view
from .hook import BODY_BYTES_MAX, Hook

_log = structlog.get_logger()


class SkippedDelivery(msgspec.Struct):
    """A valid delivery that submitted no task.

    Parameters:
        skipped: ``when`` if the delivery is not of the kind that the hook is for, ``held`` if a task holds the name,
            ``repeated`` if it has submitted a task before whose record is no longer kept.
        detail: what the delivery lacks, which task holds the name, or which task was submitted before.
        holder: the task that holds the name.
    """

    skipped: Literal["when", "held", "repeated"]
    detail: str
    holder: TaskView | UnsetType = UNSET


def load_hooks(tables: Mapping[str, Any], environment: Mapping[str, str], handlers: Catalogue) -> Mapping[str, Hook]:
    """Return the hooks that the settings declare, by name.

    Parameters:
        tables: the tables of the hooks, by name.
        environment: the environment variables that hold secrets.
        handlers: the handlers of this server.

    Raises:
        ConfigError: a table is invalid, or names a handler that this server does not have.
    """
    hooks = {name: Hook(name, table, environment) for name, table in tables.items()}
    for name, hook in hooks.items():
        if isinstance(hook.handler, str) and hook.handler not in handlers:
            raise ConfigError(f"hooks.{name}.task: {unknown('handler', hook.handler, handlers.names())}")
    return hooks


class HookAnswers:
    """The hooks of one executor.

    Parameters:
        executor: the executor that takes the tasks.
        config: the tables of the hooks.
        environment: the environment variables that hold secrets.
        record: the route that shows a task's record, for ``Location``.

    Raises:
        ConfigError: a table is invalid, or names a handler that this server does not have.
    """

    def __init__(self, executor: Executor, config: Config, environment: Mapping[str, str], record: Route) -> None:
        self._executor = executor
        self._record = record
        self._seconds_max = config.request_timeout_seconds
        # Only apply() replaces it.
        self._hooks = load_hooks(config.hooks, environment, executor.handlers)

    def apply(self, hooks: Mapping[str, Hook]) -> None:
        """Take these hooks in place of the earlier ones. The store remembers earlier deliveries by the hook's name."""
        self._hooks = hooks

    async def receive(self, request: IncomingRequest) -> Reply:
        """Check a delivery and submit its task."""
        name = request.parameters["name"]
        hook = self._hooks.get(name)
        if hook is None:
            raise UnknownHookError(f"no hook has the name {name!r}: check the URL, and the [hooks] tables")
        body = await read_raw_body(request, bytes_max=BODY_BYTES_MAX, seconds_max=self._seconds_max)
        try:
            arrival = hook.arrival(request.header_values, request.mimetype, body, time.time())
        except PexecutorError as error:
            _log.warning("delivery refused", hook=name, peer=request.client_address, reason=str(error))
            raise
        if isinstance(arrival.task, str):
            _log.info("delivery skipped", hook=name, delivery=arrival.delivery_id, reason=arrival.task)
            return json_reply(SkippedDelivery("when", arrival.task))
        task = self._executor.handlers.fill(arrival.task, hook.given)
        if arrival.delivery_id is None:
            verdicts: list[Verdict] | Answer = await self._executor.submit([task])
        else:
            key = RequestKey(RequestKind.HOOK, name, arrival.delivery_id)
            verdicts = await self._executor.requests.submit(key, b"", [task])
        if isinstance(verdicts, Answer):
            return await self._repeated(request, name, arrival.delivery_id, verdicts)
        return self._reply(request, name, arrival.delivery_id, task, verdicts[0])

    def _reply(
        self, request: IncomingRequest, name: str, delivery_id: str | None, task: Task, verdict: Verdict
    ) -> Reply:
        match verdict:
            case Accepted(record):
                _log.info("delivery accepted", hook=name, delivery=delivery_id, id=record.id, name=task.name)
                return self._accepted(request, record)
            case Duplicate(holder):
                held = f"the name {task.name!r} is held by the {holder.state} task {holder.id}"
                _log.info("delivery skipped", hook=name, delivery=delivery_id, reason=held)
                return json_reply(SkippedDelivery("held", held, view(holder)))
            case Full() | Draining():
                return refusal_reply([verdict], self._executor.retry_after_seconds, {})

    async def _repeated(self, request: IncomingRequest, name: str, delivery_id: str | None, answer: Answer) -> Reply:
        """Return the reply to a repeated delivery: the task that it submitted the first time, as it is now."""
        task_id = answer.verdicts[0].id
        _log.info("delivery repeated", hook=name, delivery=delivery_id, id=task_id)
        assert task_id is not None, "only answers with an accepted task are remembered"
        try:
            return self._accepted(request, await self._executor.get(task_id))
        except ExpiredTaskError:
            gone = f"this delivery submitted the task {task_id}, whose record is no longer kept"
            return json_reply(SkippedDelivery("repeated", gone))

    def _accepted(self, request: IncomingRequest, record: Record) -> Reply:
        shown = detail(record)
        return json_reply(shown, 202, {"Location": link_to(request, self._record.path_with(lambda _: shown.id))})
