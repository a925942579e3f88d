"""Submit, list, show and cancel tasks."""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import urlencode

import msgspec
import structlog
import trio
from msgspec import UNSET, Meta, UnsetType
from quart import Response
from quart_trio import QuartTrio
from werkzeug.routing import BaseConverter

from ..config import Config
from ..errors import FieldError
from ..executor import Executor
from ..stores import PageRequest
from ..task import Accepted, Draining, Duplicate, Finished, Full, Record, State, Task, Verdict
from . import stream
from .connection import current_request
from .decode import Query, decode_batch, decode_change, decode_query, decode_task
from .errors import BadRequestError, UnsupportedMediaTypeError
from .wire import (
    BatchReply,
    Problem,
    TaskVerdict,
    TaskView,
    VerdictsListed,
    add_verdicts,
    counts,
    detail,
    json_response,
    problem_response,
    refusal_response,
    view,
)

WAIT_FOR_ROOM_SECONDS_MAX: Final = 60
WAIT_SECONDS_MAX: Final = 300
PAGE_RECORDS_MAX: Final = 1000

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
        cursor: where the page begins; taken from the ``Link`` header of the page before.
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


class _TaskIdConverter(BaseConverter):
    """A segment that may be an id: not that of a listing, or cancelling it would be a method that the listing has."""

    regex = rf"(?!(?:{'|'.join(State)})$)[^/]+"


class TaskRoutes:
    """Routes about tasks."""

    def __init__(self, executor: Executor, config: Config) -> None:
        self._executor = executor
        self._config = config

    def add_to(self, app: QuartTrio) -> None:
        """Register them."""
        app.url_map.converters["task_id"] = _TaskIdConverter
        app.add_url_rule("/tasks", view_func=self.submit, methods=["POST"])
        app.add_url_rule("/tasks", view_func=self.list_tasks, methods=["GET"])
        app.add_url_rule("/handlers", view_func=self.list_handlers, methods=["GET"])
        app.add_url_rule("/tasks/pending", view_func=self.list_pending, methods=["GET"])
        app.add_url_rule("/tasks/running", view_func=self.list_running, methods=["GET"])
        app.add_url_rule("/tasks/finished", view_func=self.list_finished, methods=["GET"])
        app.add_url_rule("/tasks/<task_id:task_id>", view_func=self.show, methods=["GET"])
        app.add_url_rule("/tasks/<task_id:task_id>", view_func=self.change, methods=["PATCH"])
        app.add_url_rule("/tasks/<task_id:task_id>", view_func=self.cancel, methods=["DELETE"])

    # Submit

    async def submit(self) -> Response:
        """One task, a list of them, or a stream."""
        request = current_request()
        query = _query(SubmitQuery)
        match request.mimetype:
            case "application/json":
                return await self._submit_json(query)
            case "application/x-ndjson":
                return await stream.submit(request, self._executor, self._config, query.verdicts)
            case other:
                taken = "application/json or application/x-ndjson"
                raise UnsupportedMediaTypeError(f"Content-Type is {other!r}; send {taken}")

    async def _submit_json(self, query: SubmitQuery) -> Response:
        body = await self._read_body()
        if body.lstrip(b" \t\r\n").startswith(b"{"):
            return await self._submit_one(decode_task(body), query)
        return await self._submit_batch(decode_batch(body, tasks_max=self._config.batch_tasks_max), query)

    async def _read_body(self) -> bytes:
        return await current_request().read_body(
            bytes_max=self._config.body_bytes_max, seconds_max=self._config.request_timeout_seconds
        )

    async def _submit_one(self, task: Task, query: SubmitQuery) -> Response:
        _, [verdict] = await self._submit([task], query)
        match verdict:
            case Accepted(record):
                return json_response(detail(record), 202, {"Location": f"/tasks/{record.id}"})
            case Duplicate(holder):
                held = f"the name {task.name!r} is held by the {holder.state} task {holder.id}"
                return problem_response(409, held, extensions={"holder": view(holder)})
            case Full() | Draining():
                return refusal_response([verdict], self._executor.retry_after_seconds, {})

    async def _submit_batch(self, tasks: list[Task], query: SubmitQuery) -> Response:
        if query.atomic:
            self._refuse_what_can_never_fit(tasks)
        reply, verdicts = await self._submit(tasks, query)
        if reply.rejected_tasks:
            return refusal_response(verdicts, self._executor.retry_after_seconds, msgspec.to_builtins(reply))
        return json_response(reply)

    async def _submit(self, tasks: list[Task], query: SubmitQuery) -> tuple[BatchReply, list[Verdict]]:
        """The verdicts, and the reply that they make."""
        reply = BatchReply()
        try:
            verdicts = await self._executor.submit(
                current_request().with_trace(tasks), atomic=query.atomic, wait_for_room_seconds=query.wait_for_room
            )
        except trio.Cancelled:
            _log.info("a submit was cut off; it is not known here what of it was taken", requested=len(tasks))
            raise
        add_verdicts(reply, tasks, verdicts, query.verdicts)
        if reply.submitted_tasks:
            _log.info("submitted", **counts(reply), **({"name": tasks[0].name} if len(tasks) == 1 else {}))
        return reply, verdicts

    def _refuse_what_can_never_fit(self, tasks: list[Task]) -> None:
        names = len({task.name for task in tasks})
        if names > self._config.queue_size:
            raise BadRequestError(
                f"{names} tasks can never be taken atomically by a queue of {self._config.queue_size}: split the list"
            )

    # Read, change and cancel

    async def list_handlers(self) -> Response:
        """What can run tasks here, and the params that each takes."""
        return json_response(self._executor.handlers.describe())

    async def list_tasks(self) -> Response:
        """Tasks of any state: scheduled ones, pending in start order, running by start time, finished latest first."""
        query = _query(TasksQuery)
        return await self._list("/tasks", query, state=query.state, name=query.name)

    async def list_pending(self) -> Response:
        """Pending tasks, in start order."""
        return await self._list_state(State.PENDING)

    async def list_running(self) -> Response:
        """Running tasks, by start time."""
        return await self._list_state(State.RUNNING)

    async def list_finished(self) -> Response:
        """Finished tasks that are still known, the latest first."""
        return await self._list_state(State.FINISHED)

    async def _list_state(self, state: State) -> Response:
        query = _query(PageQuery)
        return await self._list(f"/tasks/{state}", query, state=state)

    async def _list(self, path: str, query: PageQuery, *, state: State | None, name: str | None = None) -> Response:
        page = await self._executor.page(PageRequest(state, name, query.limit, query.cursor))
        headers = {}
        if page.next_cursor is not None:
            query = msgspec.structs.replace(query, cursor=page.next_cursor)
            given = {key: value for key, value in msgspec.to_builtins(query).items() if value is not None}
            headers["Link"] = f'<{path}?{urlencode(given)}>; rel="next"'
        return json_response([view(record, self._executor.context(record)) for record in page.records], headers=headers)

    async def show(self, task_id: str) -> Response:
        """One record; with ``wait``, once it has its outcome or the time is up."""
        query = _query(ShowQuery)
        if query.wait:
            record = await self._executor.wait(task_id, seconds_max=query.wait)
        else:
            record = await self._executor.get(task_id)
        return self._shown(record, 200)

    async def change(self, task_id: str) -> Response:
        """Change a task that waits; its priority is what can be changed."""
        _query(NoQuery)
        body = await current_request().read_json_body(
            bytes_max=self._config.body_bytes_max, seconds_max=self._config.request_timeout_seconds
        )
        return self._shown(await self._executor.set_priority(task_id, decode_change(body).priority), 200)

    async def cancel(self, task_id: str) -> Response:
        """Cancel: 200 when it has ended with this, 202 when its work has yet to end."""
        _query(NoQuery)
        record = await self._executor.cancel(task_id)
        _log.info("cancelled", id=record.id, name=record.task.name)
        return self._shown(record, 200 if isinstance(record, Finished) else 202)

    def _shown(self, record: Record, status: int) -> Response:
        return json_response(detail(record, self._executor.context(record)), status)


def _query(parameters: type[Query]) -> Query:
    """The parameters of the request that is being answered. Raises ``BadRequestError``."""
    return decode_query(current_request().args.to_dict(flat=False), parameters)
