"""What requests about tasks come to: one function for each, whoever has read the request and sends the reply.

The framework's views (``tasks.py``) call them, and so do the hot routes, before the framework sees the request. A fault
is raised, and made a reply by the one table of errors.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Final
from urllib.parse import urlencode

import msgspec
import structlog
import trio
from msgspec import UNSET, Meta, UnsetType

from ...config import Config
from ...core.executor import Executor
from ...errors import FieldError
from ...stores import PageRequest
from ...task import Accepted, Draining, Duplicate, Finished, Full, Record, State, Task, Verdict
from . import stream
from .coalesce import Together
from .decode import decode_batch, decode_change, decode_query, decode_task
from .errors import BadRequestError, UnsupportedMediaTypeError
from .reply import Reply, json_reply, problem_reply, refusal_reply
from .request import Asked, read_body, read_json_body, with_trace
from .wire import BatchReply, Problem, TaskVerdict, TaskView, VerdictsListed, add_verdicts, counts, detail, view

WAIT_FOR_ROOM_SECONDS_MAX: Final = 60
WAIT_SECONDS_MAX: Final = 300
PAGE_RECORDS_MAX: Final = 1000

Arguments = Mapping[str, list[str]]
"""What the query string says: the values of each parameter."""

_ONE_ACCEPTED: Final = counts(BatchReply(requested_task=1, submitted_tasks=1))

_log = structlog.get_logger()


class SubmitQuery(msgspec.Struct):
    """How a submit is to be done.

    Parameters:
        verdicts: which tasks the reply to a list or a stream lists one by one.
        atomic: whether all tasks of a list whose names are free must fit, or none is taken.
        wait_for_room: seconds to wait for room before a task is refused; a stream always waits.
    """

    verdicts: VerdictsListed = "refused"
    atomic: bool = False
    wait_for_room: Annotated[float, Meta(ge=0, le=WAIT_FOR_ROOM_SECONDS_MAX)] = 0.0


class PageQuery(msgspec.Struct):
    """Which part of a listing.

    Parameters:
        limit: how many records a page has at most.
        cursor: where the page begins; taken from the ``Link`` header of the page before. Empty for the first page.
    """

    limit: Annotated[int, Meta(ge=1, le=PAGE_RECORDS_MAX)] = PAGE_RECORDS_MAX
    cursor: str | None = None


class TasksQuery(PageQuery):
    """Which tasks, and which part of the listing.

    Parameters:
        name: only those with this name.
        state: only those in this state.
    """

    name: str | None = None
    state: State | None = None


class ShowQuery(msgspec.Struct):
    """How long to wait for the task's outcome.

    Parameters:
        wait: seconds; what the record is by then is the answer.
    """

    wait: Annotated[float, Meta(ge=0, le=WAIT_SECONDS_MAX)] = 0.0


class NoQuery(msgspec.Struct):
    """A route without parameters."""


class HeldProblem(Problem):
    """A task was refused because its name is held.

    Parameters:
        holder: the task that has the name.
    """

    holder: TaskView


class SubmitProblem(Problem, kw_only=True):
    """A submit was refused, in whole or in part. What it counts was accepted, and stays accepted.

    Parameters:
        errors: what is wrong with which task; then none of a list was taken, and nothing behind it of a stream.
        RequestedTask: how many tasks of a list or a stream were looked at.
        SubmittedTasks: how many were accepted.
        DuplicateTasks: how many were refused because their name was held.
        RejectedTasks: how many were refused for lack of room, or because of a drain.
        Tasks: what became of single tasks, as ``verdicts`` asked.
    """

    errors: list[FieldError] | UnsetType = UNSET
    requested_task: int | UnsetType = msgspec.field(default=UNSET, name="RequestedTask")
    submitted_tasks: int | UnsetType = msgspec.field(default=UNSET, name="SubmittedTasks")
    duplicate_tasks: int | UnsetType = msgspec.field(default=UNSET, name="DuplicateTasks")
    rejected_tasks: int | UnsetType = msgspec.field(default=UNSET, name="RejectedTasks")
    tasks: list[TaskVerdict] | UnsetType = msgspec.field(default=UNSET, name="Tasks")


class TaskAnswers:
    """Answers about the tasks of one executor."""

    def __init__(self, executor: Executor, config: Config) -> None:
        self._executor = executor
        self._config = config
        self._together = Together(executor)

    # Both are looked up at the first request: an app may be made before the process's log is set up.
    @cached_property
    def _log(self) -> Any:
        return _log.bind()  # bound once, so that a line below the level costs nothing

    @cached_property
    def logs_submits(self) -> bool:
        """Whether ``log_one`` logs anything."""
        return bool(self._log.is_enabled_for(logging.INFO))

    # Submit

    async def submit(self, asked: Asked, arguments: Arguments) -> Reply:
        """One task, a list of them, or a stream."""
        query = decode_query(arguments, SubmitQuery)
        match asked.mimetype:
            case "application/json":
                return await self._submit_json(asked, query)
            case "application/x-ndjson":
                return await stream.submit(asked, self._executor, self._config, query.verdicts)
            case other:
                taken = "application/json or application/x-ndjson"
                raise UnsupportedMediaTypeError(f"Content-Type is {other!r}; send {taken}")

    async def _submit_json(self, asked: Asked, query: SubmitQuery) -> Reply:
        body = await read_body(
            asked, bytes_max=self._config.body_bytes_max, seconds_max=self._config.request_timeout_seconds
        )
        if self.is_one(body):
            return await self._submit_one(asked, decode_task(body), query)
        return await self._submit_batch(asked, decode_batch(body, tasks_max=self._config.batch_tasks_max), query)

    async def _submit_one(self, asked: Asked, task: Task, query: SubmitQuery) -> Reply:
        if query.atomic or query.wait_for_room:
            [verdict] = await self._submit(asked, [task], query)
        else:
            [traced] = with_trace(asked, [task])
            verdict = await self._together.submit(traced)
        return self.reply_to_one(task, verdict)

    async def _submit_batch(self, asked: Asked, tasks: list[Task], query: SubmitQuery) -> Reply:
        if query.atomic:
            self._refuse_what_can_never_fit(tasks)
        reply = BatchReply()
        verdicts = await self._submit(asked, tasks, query)
        add_verdicts(reply, tasks, verdicts, query.verdicts)
        if reply.submitted_tasks:
            self._log.info("submitted", **counts(reply), **({"name": tasks[0].name} if len(tasks) == 1 else {}))
        if reply.rejected_tasks:
            return refusal_reply(verdicts, self._executor.retry_after_seconds, msgspec.to_builtins(reply))
        return json_reply(reply)

    async def _submit(self, asked: Asked, tasks: list[Task], query: SubmitQuery) -> list[Verdict]:
        tasks = with_trace(asked, tasks)
        await trio.lowlevel.checkpoint_if_cancelled()
        taken = self._executor.submit_nowait(tasks)
        if taken is not None:
            return taken
        try:
            return await self._executor.submit(tasks, atomic=query.atomic, wait_for_room_seconds=query.wait_for_room)
        except trio.Cancelled:
            _log.info("a submit was cut off; it is not known here what of it was taken", requested=len(tasks))
            raise

    # Submits of one task each, of which many are at hand

    def is_one(self, body: bytes) -> bool:
        """Whether a body, of a size that is taken, is of one task and not of a list of them."""
        return len(body) <= self._config.body_bytes_max and body.lstrip(b" \t\r\n").startswith(b"{")

    def read_one(self, asked: Asked, body: bytes) -> Task:
        """The task of a submit whose body is of one.

        Raises:
            InvalidTaskError: it cannot be taken.
        """
        [task] = with_trace(asked, [self.read(body)])
        return task

    def read(self, body: bytes) -> Task:
        """The same of a submit that is no part of a trace."""
        task = decode_task(body)
        self._executor.check([task])
        return task

    def submit_nowait(self, tasks: list[Task]) -> list[Verdict] | None:
        """Have all of them taken at once, or none, if that has to be waited for."""
        return self._executor.submit_nowait(tasks)

    async def submit_all(self, tasks: list[Task]) -> list[Verdict]:
        """Each of them as if it came alone."""
        return await self._executor.submit(tasks)

    def log_one(self, task: Task, **context: str) -> None:
        """Say that it was accepted."""
        self._log.info("submitted", **_ONE_ACCEPTED, name=task.name, **context)

    def reply_to_one(self, task: Task, verdict: Verdict, **context: str) -> Reply:
        """What a submit of one task is answered; ``context`` is for the log, where that does not know it."""
        match verdict:
            case Accepted(record):
                self.log_one(task, **context)
                shown = detail(record)
                return json_reply(shown, 202, {"Location": f"/tasks/{shown.id}"})
            case Duplicate(holder):
                held = f"the name {task.name!r} is held by the {holder.state} task {holder.id}"
                return problem_reply(409, held, extensions={"holder": view(holder)})
            case Full() | Draining():
                return refusal_reply([verdict], self._executor.retry_after_seconds, {})

    def _refuse_what_can_never_fit(self, tasks: list[Task]) -> None:
        names = len({task.name for task in tasks})
        if names > self._config.queue_size:
            raise BadRequestError(
                f"{names} tasks can never be taken atomically by a queue of {self._config.queue_size}: split the list"
            )

    # Read, change and cancel

    def handlers(self) -> Reply:
        """What can run tasks here, and the params that each takes."""
        return json_reply(self._executor.handlers.describe())

    async def every_state(self, arguments: Arguments) -> Reply:
        """Tasks of any state: scheduled ones, pending in start order, running by start time, finished latest first."""
        query = decode_query(arguments, TasksQuery)
        return await self._list("/tasks", query, state=query.state, name=query.name)

    async def one_state(self, state: State, arguments: Arguments) -> Reply:
        """Tasks of one state, in its order."""
        return await self._list(f"/tasks/{state}", decode_query(arguments, PageQuery), state=state)

    async def _list(self, path: str, query: PageQuery, *, state: State | None, name: str | None = None) -> Reply:
        page = await self._executor.page(PageRequest(state, name, query.limit, query.cursor or None))
        headers = {}
        if page.next_cursor is not None:
            query = msgspec.structs.replace(query, cursor=page.next_cursor)
            given = {key: value for key, value in msgspec.to_builtins(query).items() if value is not None}
            headers["Link"] = f'<{path}?{urlencode(given)}>; rel="next"'
        return json_reply([view(record, self._executor.context(record)) for record in page.records], headers=headers)

    async def show(self, task_id: str, arguments: Arguments) -> Reply:
        """One record; with ``wait``, once it has its outcome or the time is up."""
        query = decode_query(arguments, ShowQuery)
        if query.wait:
            record = await self._executor.wait(task_id, seconds_max=query.wait)
        else:
            record = await self._executor.get(task_id)
        return self._shown(record, 200)

    async def change(self, asked: Asked, task_id: str, arguments: Arguments) -> Reply:
        """Change a task that waits; its priority is what can be changed."""
        decode_query(arguments, NoQuery)
        body = await read_json_body(
            asked, bytes_max=self._config.body_bytes_max, seconds_max=self._config.request_timeout_seconds
        )
        return self._shown(await self._executor.set_priority(task_id, decode_change(body).priority), 200)

    async def cancel(self, task_id: str, arguments: Arguments) -> Reply:
        """Cancel: 200 when it has ended with this, 202 when its work has yet to end."""
        decode_query(arguments, NoQuery)
        record = await self._executor.cancel(task_id)
        _log.info("cancelled", id=record.id, name=record.task.name)
        return self._shown(record, 200 if isinstance(record, Finished) else 202)

    def _shown(self, record: Record, status: int) -> Reply:
        return json_reply(detail(record, self._executor.context(record)), status)
