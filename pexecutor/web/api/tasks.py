"""Answer requests about tasks: one method for each route, independent of the server that parsed the request.

An error is raised, and ``errors.py`` turns it into a reply.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
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
from ...limits.defaults import PAGE_RECORDS_MAX
from ...limits.times import WAIT_FOR_ROOM_SECONDS_MAX, WAIT_SECONDS_MAX
from ...stores import PageRequest
from ...task import Accepted, Draining, Duplicate, Finished, Full, Record, State, Task, Verdict
from . import stream
from .coalesce import TASKS_TOGETHER_MAX, SubmitCoalescer
from .decode import WHITE_SPACE, Change, TaskBody, decode_body, decode_object
from .deliveries import deliveries_page
from .errors import BadRequestError, UnsupportedMediaTypeError
from .reply import Reply, json_reply, problem_reply, refusal_reply
from .request import IncomingRequest, read_body, read_json_body, with_trace
from .wire import BatchReply, Problem, TaskVerdict, TaskView, VerdictsListed, add_verdicts, counts, detail, view

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
    """

    verdicts: VerdictsListed = "refused"
    atomic: bool = False
    wait_for_room: Annotated[float, Meta(ge=0, le=WAIT_FOR_ROOM_SECONDS_MAX)] = 0.0


class PageQuery(msgspec.Struct):
    """The page of a listing.

    Parameters:
        limit: how many records the page has at most.
        cursor: where the page begins, from the ``Link`` header of the previous page; empty for the first page.
    """

    limit: Annotated[int, Meta(ge=1, le=PAGE_RECORDS_MAX)] = PAGE_RECORDS_MAX
    cursor: str | None = None


class TasksQuery(PageQuery):
    """The tasks to list, and the page of the listing.

    Parameters:
        name: only tasks with this name.
        state: only tasks in this state.
        handler: ``notify:`` and the name of a target: the notifications that wait for their delivery, not tasks.
    """

    name: str | None = None
    state: State | None = None
    handler: str | None = None


class ShowQuery(msgspec.Struct):
    """The time to wait for the task's outcome.

    Parameters:
        wait: how many seconds to wait for the outcome; after that, the reply is the record as it is then.
    """

    wait: Annotated[float, Meta(ge=0, le=WAIT_SECONDS_MAX)] = 0.0


class NoQuery(msgspec.Struct):
    """No parameters."""


class HeldProblem(Problem):
    """A task was refused because another task holds its name.

    Parameters:
        holder: the task that holds the name.
    """

    holder: TaskView


class SubmitProblem(Problem, kw_only=True):
    """A submit was refused, in whole or in part. The tasks that it counts as submitted stay accepted.

    Parameters:
        errors: the faults of the invalid tasks. Of a list, no task was accepted; of a stream, none after the fault.
        RequestedTask: how many tasks of a list or a stream were processed.
        SubmittedTasks: how many tasks were accepted.
        DuplicateTasks: how many tasks were refused because their name was held.
        RejectedTasks: how many tasks were refused for lack of room, or because of a drain.
        Tasks: the verdicts on single tasks; the parameter ``verdicts`` selects which.
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
        self._coalescer = SubmitCoalescer(executor)

    # Both are computed at the first request, because an app may be created before the process's log is configured.
    @cached_property
    def _log(self) -> Any:
        return _log.bind()  # bound once, so that a line below the log level costs nothing

    @cached_property
    def logs_submits(self) -> bool:
        """Return whether the log level includes lines about accepted tasks."""
        return bool(self._log.is_enabled_for(logging.INFO))

    # Submit

    async def submit(self, request: IncomingRequest) -> Reply:
        """Submit one task, a list of tasks, or a stream."""
        query: SubmitQuery = request.query
        match request.mimetype:
            case "application/json":
                return await self._submit_json(request, query)
            case "application/x-ndjson":
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
        if query.atomic:
            self._refuse_unfit_atomic_batch(sent.tasks)
        verdicts = await self._submit(with_trace(request, sent.tasks), query)
        return self.reply(sent, verdicts, request.path, query.verdicts)

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
            path: the path of the request; the path of a record begins with it.
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
                shown = detail(record)
                return json_reply(shown, 202, {"Location": f"{path}/{shown.id}"})
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

    # Read, change and cancel

    async def handlers(self, _: IncomingRequest) -> Reply:
        """List the handlers and the params of each."""
        return json_reply(self._executor.handlers.describe())

    async def every_state(self, request: IncomingRequest) -> Reply:
        """List tasks of any state.

        Scheduled tasks come first, then pending tasks in start order, running tasks by start time, and finished tasks,
        the latest first.
        """
        query: TasksQuery = request.query
        if query.handler is None:
            return await self._list(request, query.state, query.name)
        if query.name is not None or query.state is not None:
            raise BadRequestError("`handler` cannot be combined with `name` or `state`: remove them")
        page = await deliveries_page(self._executor, query.handler, query.limit, query.cursor or None)
        return json_reply(page.rows, headers=_link_to_next(request, page.next_cursor))

    async def pending(self, request: IncomingRequest) -> Reply:
        """List pending tasks, in start order."""
        return await self._list(request, State.PENDING)

    async def running(self, request: IncomingRequest) -> Reply:
        """List running tasks, by start time."""
        return await self._list(request, State.RUNNING)

    async def finished(self, request: IncomingRequest) -> Reply:
        """List the finished tasks whose records are kept, the latest first."""
        return await self._list(request, State.FINISHED)

    async def _list(self, request: IncomingRequest, state: State | None, name: str | None = None) -> Reply:
        query: PageQuery = request.query
        page = await self._executor.page(PageRequest(state, name, query.limit, query.cursor or None))
        rows = [view(record, self._executor.context(record)) for record in page.records]
        return json_reply(rows, headers=_link_to_next(request, page.next_cursor))

    async def show(self, request: IncomingRequest) -> Reply:
        """Show one record; with ``wait``, wait for its outcome first, up to that time."""
        query: ShowQuery = request.query
        task_id = request.parameters["id"]
        if query.wait:
            record = await self._executor.wait(task_id, seconds_max=query.wait)
        else:
            record = await self._executor.get(task_id)
        return self._shown(record, 200)

    async def change(self, request: IncomingRequest) -> Reply:
        """Change the priority or the time of a waiting task."""
        body = await read_json_body(
            request, bytes_max=self._config.body_bytes_max, seconds_max=self._config.request_timeout_seconds
        )
        change = decode_object(body, Change)
        priority = None if change.priority is UNSET else change.priority
        record = await self._executor.change_waiting(
            request.parameters["id"], priority=priority, due_at=change.due_at()
        )
        return self._shown(record, 200)

    async def cancel(self, request: IncomingRequest) -> Reply:
        """Cancel a task: 200 if it has ended, 202 if its work has yet to end."""
        record = await self._executor.cancel(request.parameters["id"])
        _log.info("cancelled", id=record.id, name=record.task.name)
        return self._shown(record, 200 if isinstance(record, Finished) else 202)

    def _shown(self, record: Record, status: int) -> Reply:
        return json_reply(detail(record, self._executor.context(record)), status)


def _link_to_next(request: IncomingRequest, cursor: str | None) -> dict[str, str]:
    """Return the header that names the next page of a listing; empty on the last page."""
    if cursor is None:
        return {}
    query = msgspec.structs.replace(request.query, cursor=cursor)
    given = {key: value for key, value in msgspec.to_builtins(query).items() if value is not None}
    return {"Link": f'<{request.path}?{urlencode(given)}>; rel="next"'}


def _name_of_one(tasks: list[Task]) -> dict[str, str]:
    """Return the name of the task of a list of one, for the log."""
    return {"name": tasks[0].name} if len(tasks) == 1 else {}
