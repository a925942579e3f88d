"""Answer submits: one task, a list, or a stream.

An error is raised, and ``errors.py`` turns it into a reply.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from typing import Annotated, Any, Final, Literal

import msgspec
import structlog
import trio
from msgspec import UNSET, Meta, UnsetType

from ...config import Config
from ...core.executor import Executor
from ...errors import ExpiredTaskError, FieldError
from ...limits.times import WAIT_FOR_ROOM_SECONDS_MAX, WAIT_SECONDS_MAX
from ...stores.answers import Answer
from ...task import Accepted, Draining, Duplicate, Finished, Full, Record, Task, Verdict
from . import stream
from .coalesce import TASKS_TOGETHER_MAX, SubmitCoalescer
from .decode import WHITE_SPACE, TaskBody, decode_body
from .errors import BadRequestError, UnsupportedMediaTypeError
from .idempotency import KeyedSubmits, digest_of, expired, refuse_key, sent_key
from .reply import Reply, json_reply, problem_reply, refusal_reply
from .request import IncomingRequest, link_to, read_body, with_trace
from .wire import (
    BatchReply,
    Problem,
    TaskDetail,
    TaskVerdict,
    TaskView,
    VerdictsListed,
    add_verdicts,
    counts,
    detail,
    view,
)

_ONE_ACCEPTED: Final = counts(BatchReply(requested_task=1, submitted_tasks=1))

_NAME_KEY: Final = b'"name"'
"""The key that every task has. A list has at least as many as it has tasks, unless one is escaped."""

_log = structlog.get_logger()


class SubmitQuery(msgspec.Struct):
    """The options of a submit.

    Parameters:
        verdicts: which tasks the reply to a list or a stream lists one by one.
        atomic: whether to accept either all tasks of a list whose names are free, or none.
        wait_for_room: how many seconds to wait for room before a task is refused; a stream always waits.
        wait: how many seconds to wait for the outcome of the task, if the body is one task.
    """

    verdicts: VerdictsListed = "refused"
    atomic: bool = False
    wait_for_room: Annotated[float, Meta(ge=0, le=WAIT_FOR_ROOM_SECONDS_MAX)] = 0.0
    wait: Annotated[float, Meta(ge=0, le=WAIT_SECONDS_MAX)] = 0.0


class HeldProblem(Problem):
    """A task was refused: another task holds its name, or the first request with the same key is under way.

    Parameters:
        holder: the task that holds the name.
    """

    holder: TaskView | UnsetType = UNSET


class SubmitProblem(Problem, kw_only=True):
    """A submit was refused, in whole or in part. The tasks that it counts as submitted stay accepted.

    Parameters:
        verdict: why tasks were refused: the queue is full, or the server is draining.
        errors: the faults of the invalid tasks. Of a list, no task was accepted; of a stream, none after the fault.
        RequestedTask: how many tasks of a list or a stream were processed.
        SubmittedTasks: how many tasks were accepted.
        DuplicateTasks: how many tasks were refused because their name was held.
        RejectedTasks: how many tasks were refused for lack of room, or because of a drain.
        Tasks: the verdicts on single tasks; the parameter ``verdicts`` selects which.
    """

    verdict: Literal["full", "draining"] | UnsetType = UNSET
    errors: list[FieldError] | UnsetType = UNSET
    requested_task: int | UnsetType = msgspec.field(default=UNSET, name="RequestedTask")
    submitted_tasks: int | UnsetType = msgspec.field(default=UNSET, name="SubmittedTasks")
    duplicate_tasks: int | UnsetType = msgspec.field(default=UNSET, name="DuplicateTasks")
    rejected_tasks: int | UnsetType = msgspec.field(default=UNSET, name="RejectedTasks")
    tasks: list[TaskVerdict] | UnsetType = msgspec.field(default=UNSET, name="Tasks")


class SubmitAnswers:
    """Answers submits to one executor."""

    def __init__(self, executor: Executor, config: Config) -> None:
        self._executor = executor
        self._config = config
        self._coalescer = SubmitCoalescer(executor)
        self._keyed = KeyedSubmits(executor)

    # Both are computed at the first request, because an app may be created before the process's log is configured.
    @cached_property
    def _log(self) -> Any:
        return _log.bind()  # bound once, so that a line below the log level costs nothing

    @cached_property
    def logs_submits(self) -> bool:
        """Return whether the log level includes lines about accepted tasks."""
        return bool(self._log.is_enabled_for(logging.INFO))

    def use_present_log(self) -> None:
        """Log from now on with the present log level."""
        for name in ("_log", "logs_submits"):
            self.__dict__.pop(name, None)

    async def submit(self, request: IncomingRequest) -> Reply:
        """Submit one task, a list of tasks, or a stream."""
        query: SubmitQuery = request.query
        match request.mimetype:
            case "application/json":
                return await self._submit_json(request, query)
            case "application/x-ndjson":
                _refuse_wait(query)
                refuse_key(request)
                return await stream.submit(request, self._executor, self._config, query.verdicts)
            case other:
                raise UnsupportedMediaTypeError(
                    f"unsupported Content-Type {other!r}: send application/json or application/x-ndjson"
                )

    async def _submit_json(self, request: IncomingRequest, query: SubmitQuery) -> Reply:
        body = await read_body(
            request, bytes_max=self._config.body_bytes_max, seconds_max=self._config.request_timeout_seconds
        )
        sent = self._decoded(body)
        if sent.is_list:
            _refuse_wait(query)
        if query.atomic:
            self._refuse_unfit_atomic_batch(sent.tasks)
        sent = TaskBody(with_trace(request, sent.tasks), sent.is_list)
        if (key := sent_key(request)) is None:
            verdicts: Sequence[Verdict] | Answer = await self._submit(sent.tasks, query)
        else:
            digest = digest_of(body, atomic=query.atomic, listed=query.verdicts)
            verdicts = await self._keyed.submit(
                key, digest, sent.tasks, atomic=query.atomic, wait_for_room_seconds=query.wait_for_room
            )
        path = link_to(request, request.path)
        if isinstance(verdicts, Answer):
            return await self._repeated(sent, verdicts, path, query)
        reply = self.reply(sent, verdicts, path, query.verdicts)
        if query.wait and isinstance(verdicts[0], Accepted):
            return await self._reply_with_outcome(verdicts[0].record, path, query.wait)
        return reply

    async def _repeated(self, sent: TaskBody, answer: Answer, path: str, query: SubmitQuery) -> Reply:
        """Return the reply to a request that was answered before, with the records as they are now."""
        if sent.is_list:
            return await self._keyed.batch_reply(sent.tasks, answer, query.verdicts)
        [verdict] = answer.verdicts
        record = await self._keyed.record_of(verdict)
        if record is None:
            return _accepted(expired(sent.tasks[0], verdict, answer), path)
        return await self._reply_with_outcome(record, path, query.wait)

    async def _reply_with_outcome(self, record: Record, path: str, seconds_max: float) -> Reply:
        """Wait for the outcome of an accepted task, for ``seconds_max``: 200 with it, else 202 with the record."""
        if seconds_max and not isinstance(record, Finished):
            with suppress(ExpiredTaskError):  # it has ended, and its record is not kept
                record = await self._executor.wait(record.id, seconds_max=seconds_max)
        status = 200 if seconds_max and isinstance(record, Finished) else 202
        return _accepted(detail(record, self._executor.context(record)), path, status)

    async def _submit(self, tasks: list[Task], query: SubmitQuery) -> Sequence[Verdict]:
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            if not (query.atomic or query.wait_for_room or len(tasks) > TASKS_TOGETHER_MAX):
                return await self._coalescer.submit(tasks)
            taken = self._executor.submit_nowait(tasks)
            if taken is not None:
                return taken
            return await self._executor.submit(tasks, atomic=query.atomic, wait_for_room_seconds=query.wait_for_room)
        except trio.Cancelled:
            _log.info("submit cancelled; its tasks may have been accepted", requested=len(tasks))
            raise

    def reply(
        self, sent: TaskBody, verdicts: Sequence[Verdict], path: str, listed: VerdictsListed, **context: str
    ) -> Reply:
        """Log which tasks of a submit were accepted, and return the reply.

        Parameters:
            sent: the tasks.
            verdicts: the verdict on each task.
            path: the link to the tasks; the link to a record begins with it.
            listed: which verdicts the reply to a list lists one by one.
            context: added to the log line.
        """
        if sent.is_list:
            return self._reply_to_list(sent.tasks, verdicts, listed, context)
        return self._reply_to_one(sent.tasks[0], verdicts[0], path, context)

    def _reply_to_list(
        self, tasks: list[Task], verdicts: Sequence[Verdict], listed: VerdictsListed, context: dict[str, str]
    ) -> Reply:
        reply = BatchReply()
        add_verdicts(reply, tasks, verdicts, listed)
        if reply.submitted_tasks and self.logs_submits:
            self._log.info("submitted", **counts(reply), **_name_of_one(tasks), **context)
        if reply.rejected_tasks:
            return refusal_reply(verdicts, self._executor.retry_after_seconds, msgspec.to_builtins(reply))
        return json_reply(reply)

    def _reply_to_one(self, task: Task, verdict: Verdict, path: str, context: dict[str, str]) -> Reply:
        match verdict:
            case Accepted(record):
                self.log_one(task, **context)
                return _accepted(detail(record), path)
            case Duplicate(holder):
                held = f"the name {task.name!r} is held by the {holder.state} task {holder.id}"
                return problem_reply(409, held, extensions={"holder": view(holder)})
            case Full() | Draining():
                return refusal_reply([verdict], self._executor.retry_after_seconds, {})

    def log_one(self, task: Task, **context: str) -> None:
        """Log that the task of a request without a list was accepted."""
        if self.logs_submits:
            self._log.info("submitted", **_ONE_ACCEPTED, name=task.name, **context)

    # The steps of a submit, for a caller that has many of them at hand

    def is_short(self, body: bytes) -> bool:
        """Return whether a body is within the limit and holds one task or a short list, judged without decoding it."""
        if len(body) > self._config.body_bytes_max:
            return False
        text = body.lstrip(WHITE_SPACE)
        return text.startswith(b"{") or (text.startswith(b"[") and text.count(_NAME_KEY) <= TASKS_TOGETHER_MAX)

    def read(self, body: bytes) -> TaskBody:
        """Return the tasks of a body, without the trace of the request.

        Raises:
            BadRequestError, TooLargeError, InvalidTaskError: the body or one of its tasks is invalid.
        """
        sent = self._decoded(body)
        self._executor.check(sent.tasks)
        return sent

    def _decoded(self, body: bytes) -> TaskBody:
        return decode_body(body, tasks_max=self._config.batch_tasks_max, defaults=self._executor.handlers.defaults)

    def submit_nowait(self, tasks: list[Task]) -> list[Verdict] | None:
        """Submit the tasks and return their verdicts, or submit none and return ``None`` if that needs a wait."""
        return self._executor.submit_nowait(tasks)

    async def submit_all(self, tasks: list[Task]) -> list[Verdict]:
        """Submit the tasks, each as if it came alone, and return their verdicts."""
        return await self._executor.submit(tasks)

    def _refuse_unfit_atomic_batch(self, tasks: list[Task]) -> None:
        names = len({task.name for task in tasks})
        if names > self._config.queue_size:
            raise BadRequestError(
                f"{names} tasks can never fit into a queue of {self._config.queue_size} at once: split the list"
            )


def _name_of_one(tasks: list[Task]) -> dict[str, str]:
    """Return the name of the task of a list of one, for the log."""
    return {"name": tasks[0].name} if len(tasks) == 1 else {}


def _accepted(shown: TaskDetail, path: str, status: int = 202) -> Reply:
    """Return the reply to the submit of one task that was accepted."""
    return json_reply(shown, status, {"Location": f"{path}/{shown.id}"})


def _refuse_wait(query: SubmitQuery) -> None:
    if query.wait:
        raise BadRequestError("`wait` is for the submit of one task: send an object, or remove `wait`")
