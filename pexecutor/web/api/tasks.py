"""Answer requests about tasks: list, show, change and cancel them. ``submit.py`` takes new ones.

Each route has one method, independent of the server that parsed the request. An error is raised, and ``errors.py``
turns it into a reply.
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

import msgspec
import structlog
from msgspec import UNSET, Meta

from ...config import Config
from ...core.executor import Executor
from ...handlers.catalogue import NOTIFY_PREFIX
from ...limits.defaults import PAGE_RECORDS_MAX
from ...limits.times import WAIT_SECONDS_MAX
from ...stores import PageRequest
from ...stores.find import Filter
from ...task import Finished, Record, State
from .decode import Change, decode_object
from .deliveries import deliveries_page
from .errors import BadRequestError
from .filters import FilterQuery
from .limit_wire import with_blocks
from .reply import Reply, json_reply
from .request import IncomingRequest, link_to, read_json_body
from .wire import detail, view

_log = structlog.get_logger()


Limit = Annotated[int, Meta(ge=1, le=PAGE_RECORDS_MAX)]


class PageQuery(msgspec.Struct):
    """The page of a listing.

    Parameters:
        limit: how many records the page has at most.
        cursor: where the page begins, from the ``Link`` header of the previous page; empty for the first page.
    """

    limit: Limit = PAGE_RECORDS_MAX
    cursor: str | None = None


class TasksQuery(FilterQuery):
    """The tasks to list, and the page of the listing.

    Parameters:
        limit: how many records the page has at most.
        cursor: where the page begins, from the ``Link`` header of the previous page; empty for the first page.
    """

    limit: Limit = PAGE_RECORDS_MAX
    cursor: str | None = None


class ShowQuery(msgspec.Struct):
    """The time to wait for the task's outcome.

    Parameters:
        wait: how many seconds to wait for the outcome; after that, the reply is the record as it is then.
    """

    wait: Annotated[float, Meta(ge=0, le=WAIT_SECONDS_MAX)] = 0.0


class NoQuery(msgspec.Struct):
    """No parameters."""


class TaskAnswers:
    """Answers about the tasks of one executor."""

    def __init__(self, executor: Executor, config: Config) -> None:
        self._executor = executor
        self._config = config

    async def every_state(self, request: IncomingRequest) -> Reply:
        """List tasks of any state.

        Scheduled tasks come first, then pending tasks in start order, running tasks by start time, and finished tasks,
        the latest first.
        """
        query: TasksQuery = request.query
        if query.handler is None or not query.handler.startswith(NOTIFY_PREFIX):
            return await self._list(request, query.filter())
        if query.filter() != Filter(handler=query.handler):
            raise BadRequestError("notifications can be listed by `handler` alone: remove the other filters")
        page = await deliveries_page(self._executor, query.handler, query.limit, query.cursor or None)
        return json_reply(page.rows, headers=_link_to_next(request, page.next_cursor))

    async def pending(self, request: IncomingRequest) -> Reply:
        """List pending tasks, in start order."""
        return await self._list(request, Filter(State.PENDING))

    async def running(self, request: IncomingRequest) -> Reply:
        """List running tasks, by start time."""
        return await self._list(request, Filter(State.RUNNING))

    async def finished(self, request: IncomingRequest) -> Reply:
        """List the finished tasks whose records are kept, the latest first."""
        return await self._list(request, Filter(State.FINISHED))

    async def _list(self, request: IncomingRequest, wanted: Filter) -> Reply:
        query: PageQuery | TasksQuery = request.query
        page = await self._executor.page(PageRequest.of(wanted, limit=query.limit, cursor=query.cursor or None))
        now = self._executor.limits.now()
        rows = [with_blocks(view(record, self._executor.context(record)), record, now) for record in page.records]
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
        shown = detail(record, self._executor.context(record))
        return json_reply(with_blocks(shown, record, self._executor.limits.now()), status)


def _link_to_next(request: IncomingRequest, cursor: str | None) -> dict[str, str]:
    """Return the header that names the next page of a listing; empty on the last page."""
    if cursor is None:
        return {}
    query = msgspec.structs.replace(request.query, cursor=cursor)
    given = {key: value for key, value in msgspec.to_builtins(query).items() if value is not None}
    return {"Link": f'<{link_to(request, request.path)}?{urlencode(given, doseq=True)}>; rel="next"'}
