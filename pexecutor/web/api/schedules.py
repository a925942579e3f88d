"""Answer requests about schedules: one method for each route."""

from __future__ import annotations

from time import perf_counter
from typing import Annotated, Final
from urllib.parse import quote, urlencode

import msgspec
import structlog
import trio
from msgspec import Meta

from ...config import Config
from ...core.executor import Executor
from ...schedules.declaration import ScheduleDeclaration
from ...schedules.next_times import NextTimes
from ...stores.schedules import Schedule
from .decode import TaskBody, decode_object, fields_of_task
from .reply import Reply, encode, json_reply, refusal_reply
from .request import IncomingRequest, link_to, read_json_body, sent_traceparent
from .schedule_wire import ScheduleView, schedule_view
from .submit import SubmitAnswers

PAGE_SCHEDULES: Final = 100
PAGE_SCHEDULES_MAX: Final = 1000

PAGE_BYTES_MAX: Final = 8 * 1024 * 1024
"""A page ends once it has as many bytes, even if it has fewer schedules than its limit."""

WITHOUT_YIELD_SECONDS_MAX: Final = 0.005
"""How long a page may occupy the event loop before other tasks get a turn."""

_log = structlog.get_logger()


class SchedulesQuery(msgspec.Struct):
    """The page of the list of schedules.

    Parameters:
        limit: how many schedules the page has at most.
        cursor: where the page begins, from the ``Link`` header of the previous page; empty for the first page.
    """

    limit: Annotated[int, Meta(ge=1, le=PAGE_SCHEDULES_MAX)] = PAGE_SCHEDULES
    cursor: str | None = None


class RemoveQuery(msgspec.Struct):
    """The query of a request to remove a schedule.

    Parameters:
        force: whether to remove the schedule even if a settings file declares it.
    """

    force: bool = False


class Pause(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The change of a schedule.

    Parameters:
        paused: whether the times of the schedule are skipped.
    """

    paused: bool


class ScheduleAnswers:
    """Answers about the schedules of one executor.

    Parameters:
        executor: the executor.
        config: the limits of requests.
        submits: shows the task of an occurrence on request as the reply to a submit.
        tasks_path: the path with which the path of a task's record begins.
    """

    def __init__(self, executor: Executor, config: Config, submits: SubmitAnswers, tasks_path: str) -> None:
        self._executor = executor
        self._config = config
        self._submits = submits
        self._tasks_path = tasks_path
        self._next_times = NextTimes()

    # Read

    async def every_schedule(self, request: IncomingRequest) -> Reply:
        """List schedules, by name."""
        query: SchedulesQuery = request.query
        found = await self._executor.schedules.page(query.limit + 1, query.cursor or None)
        listed = await self._encoded(found[: query.limit])
        headers = {}
        if len(listed) < len(found):
            following = {"limit": query.limit, "cursor": found[len(listed) - 1].name}
            headers["Link"] = f'<{link_to(request, request.path)}?{urlencode(following)}>; rel="next"'
        return Reply(b"[%b]" % b",".join(listed), headers=headers)

    async def _encoded(self, schedules: list[Schedule]) -> list[bytes]:
        """Return the JSON of the first schedules, which have ``PAGE_BYTES_MAX`` or one schedule more."""
        listed: list[bytes] = []
        size, since = 0, perf_counter()
        for schedule in schedules:
            listed.append(encode(self._view(schedule)))
            size += len(listed[-1])
            if size >= PAGE_BYTES_MAX:
                break
            if perf_counter() - since > WITHOUT_YIELD_SECONDS_MAX:
                await trio.lowlevel.checkpoint()
                since = perf_counter()
        return listed

    async def show(self, request: IncomingRequest) -> Reply:
        """Show one schedule."""
        return json_reply(self._view(await self._executor.schedules.get(request.parameters["name"])))

    # Change

    async def put(self, request: IncomingRequest) -> Reply:
        """Store a schedule: 201 if it is new, 200 if it replaces one or changes nothing."""
        name = request.parameters["name"]
        body = await self._body(request)
        declaration = decode_object(body, ScheduleDeclaration)
        stored = await self._executor.schedules.put(name, declaration, given=fields_of_task(body))
        if stored.is_changed:
            _log.info("schedule stored", name=name, generation=stored.schedule.generation)
        headers = {"Location": link_to(request, quote(request.path))} if stored.is_new else None
        return json_reply(self._view(stored.schedule), 201 if stored.is_new else 200, headers)

    async def change(self, request: IncomingRequest) -> Reply:
        """Pause or resume a schedule."""
        name = request.parameters["name"]
        paused = decode_object(await self._body(request), Pause).paused
        schedule = await self._executor.schedules.pause(name, paused=paused)
        _log.info("schedule paused" if paused else "schedule resumed", name=name)
        return json_reply(self._view(schedule))

    async def remove(self, request: IncomingRequest) -> Reply:
        """Remove a schedule; no task is touched."""
        query: RemoveQuery = request.query
        name = request.parameters["name"]
        await self._executor.schedules.remove(name, force=query.force)
        _log.info("schedule removed", name=name)
        return Reply(b"", 204, content_type="")

    async def run(self, request: IncomingRequest) -> Reply:
        """Submit one occurrence now, and reply as to a submit of its task."""
        name = request.parameters["name"]
        submitted = await self._executor.schedules.run_now(name, traceparent=sent_traceparent(request))
        if submitted.task is None:
            return refusal_reply([submitted.verdict], self._executor.retry_after_seconds, {})
        sent = TaskBody([submitted.task], is_list=False)
        return self._submits.reply(sent, [submitted.verdict], link_to(request, self._tasks_path), "none", schedule=name)

    async def _body(self, request: IncomingRequest) -> bytes:
        return await read_json_body(
            request, bytes_max=self._config.body_bytes_max, seconds_max=self._config.request_timeout_seconds
        )

    def _view(self, schedule: Schedule) -> ScheduleView:
        return schedule_view(schedule, self._next_times.of(schedule))
