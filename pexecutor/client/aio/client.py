"""``AsyncClient``: the HTTP API of a server as typed method calls."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, Unpack

from ...errors import RefusedError
from ...limits.defaults import BULK_TASKS_MAX
from ...limits.times import CLIENT_REPLY_SECONDS_MAX
from .. import requests
from ..address import address_of, token_of
from ..fields import Criteria, NewTask, TaskFields, criteria_json, json_of
from ..more_records import ServerStatus, StatusReply
from ..records import BulkCounts, HandlerRecord, PauseRecord, PausesReply, SubmittedTasks, TaskRecord
from ..refusals import status_in
from ..repeating import RETRY_SECONDS_MAX
from .events import AsyncEvents
from .handle import AsyncHandle
from .http import AsyncHttpLink
from .pages import AsyncPages
from .requester import AsyncRequester
from .schedules import AsyncScheduleClient
from .submitting import submit_all, submit_one


class AsyncClient:
    """A client of one server.

    Every method can raise ``UnreachableError``, ``NotAuthenticatedError``, ``NotAllowedError``, ``ForeignReplyError``,
    and ``RefusedError`` for a refusal without a name of its own.

    Parameters:
        url: the URL of the server, also with a path, or ``unix:///path`` for a Unix socket. By default, the variable
            ``PEXECUTOR_URL``, or else ``http://127.0.0.1:8080``.
        token: the bearer token. By default, the variable ``PEXECUTOR_TOKEN``, or else none.
        retry_seconds_max: how long to repeat a request that is safe to repeat, from its first failure on. 0 never does.
        reply_seconds_max: how long a reply may take, in addition to a wait that the request asks for.
        ssl_context: how to check the server's certificate. By default, against the system's authorities.

    Attributes:
        schedules: the schedules of the server.

    Raises:
        ConfigError: the URL or the token is invalid.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        retry_seconds_max: float = RETRY_SECONDS_MAX,
        reply_seconds_max: float = CLIENT_REPLY_SECONDS_MAX,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        address = address_of(url)
        self.url: str = address.shown
        self._http = AsyncHttpLink(
            address, token_of(token), reply_seconds_max=reply_seconds_max, ssl_context=ssl_context
        )
        self._requester = AsyncRequester(self._http, retry_seconds_max=retry_seconds_max)
        self.schedules: AsyncScheduleClient = AsyncScheduleClient(self._requester)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    # Submit

    async def submit(
        self,
        name: str,
        handler: str = "sleep",
        *,
        params: Mapping[str, Any] | None = None,
        wait_for_room_seconds: float = 0.0,
        idempotency_key: str | None = None,
        **fields: Unpack[TaskFields],
    ) -> AsyncHandle:
        """Submit a task, and return its handle. The task is accepted once, however often the connection is lost.

        Parameters:
            name: the name of the task, which at most one task in flight holds.
            handler: the handler that runs it.
            params: the params for the handler.
            wait_for_room_seconds: how long to wait while the queue is full.
            idempotency_key: identifies this submit, so that the caller can repeat it; by default a new key.
            fields: the other fields of the task; see ``TaskFields``.

        Raises:
            DuplicateError: another task holds the name.
            QueueFullError: the queue has no room.
            DrainingError: the server is stopping.
            InvalidTaskError: a field is invalid.
        """
        task = json_of({"name": name, "handler": handler, "params": params, **fields})
        record = await submit_one(self._requester, task, idempotency_key, wait_for_room_seconds)
        return AsyncHandle(self._requester, record)

    async def submit_many(self, tasks: Iterable[NewTask], *, wait_for_room_seconds: float = 0.0) -> SubmittedTasks:
        """Submit many tasks, in lists of up to 1000, and return the verdict on each one.

        A duplicate and a full queue are verdicts here, not errors. Each list is accepted once, however often the
        connection is lost.

        Parameters:
            tasks: the tasks, as dictionaries; see ``NewTask``.
            wait_for_room_seconds: how long to wait, in all, while the queue is full.

        Raises:
            InvalidTaskError: a task is invalid. No task of its list was accepted; those of earlier lists stay accepted.
        """
        return await submit_all(self._requester, tasks, wait_for_room_seconds)

    # Find

    async def get(self, task_id: str) -> AsyncHandle:
        """Return the handle of a task, with its present record.

        Raises:
            NotFoundError: the server does not know the task, or no longer keeps its record.
        """
        return AsyncHandle(self._requester, await self._requester.ask(requests.show(task_id), TaskRecord))

    def list(self, **criteria: Unpack[Criteria]) -> AsyncPages[TaskRecord]:
        """Iterate over the records of tasks that meet all criteria: first tasks in flight, then finished ones.

        Parameters:
            criteria: which tasks; see ``Criteria``. None for all tasks.
        """
        return AsyncPages(self._requester, requests.page(criteria_json(criteria)), TaskRecord)

    def events(self, *, after: int | None = None, **criteria: Unpack[Criteria]) -> AsyncEvents:
        """Iterate over events as they happen.

        Parameters:
            after: the id of an event: begin with the next one. By default, begin now.
            criteria: only events of tasks that meet all of them; see ``Criteria``.
        """
        return AsyncEvents(self._requester, criteria_json(criteria), after)

    # Act on many tasks

    async def cancel_many(
        self,
        *,
        ids: Sequence[str] = (),
        tasks_max: int = BULK_TASKS_MAX,
        dry_run: bool = False,
        **criteria: Unpack[Criteria],
    ) -> BulkCounts:
        """Cancel all tasks in flight that are named or meet all criteria.

        Parameters:
            ids: the ids of the tasks, at most 1000, instead of criteria.
            tasks_max: how many tasks to concern at most.
            dry_run: whether to count the tasks without changing any.
            criteria: which tasks; see ``Criteria``.
        """
        return await self._bulk({"action": "cancel"}, ids, tasks_max, dry_run, criteria)

    async def retry_many(
        self,
        *,
        ids: Sequence[str] = (),
        tasks_max: int = BULK_TASKS_MAX,
        dry_run: bool = False,
        **criteria: Unpack[Criteria],
    ) -> BulkCounts:
        """Submit finished tasks again; see ``cancel_many`` for the parameters.

        Raises:
            RefusedError: the queue has no room for any of them (429), or the server is stopping (503).
        """
        return await self._bulk({"action": "retry"}, ids, tasks_max, dry_run, criteria)

    async def prioritize_many(
        self,
        priority: int,
        *,
        ids: Sequence[str] = (),
        tasks_max: int = BULK_TASKS_MAX,
        dry_run: bool = False,
        **criteria: Unpack[Criteria],
    ) -> BulkCounts:
        """Change the priority of waiting tasks; see ``cancel_many`` for the other parameters.

        Parameters:
            priority: the new priority, -100 to 100.
        """
        return await self._bulk({"action": "priority", "priority": priority}, ids, tasks_max, dry_run, criteria)

    # The server

    async def handlers(self) -> tuple[HandlerRecord, ...]:
        """Return the handlers of the server."""
        return await self._requester.ask(requests.handlers(), tuple[HandlerRecord, ...])

    async def status(self) -> ServerStatus:
        """Return the state of the server, also of one that is stopping."""
        try:
            return (await self._requester.ask(requests.readiness(), StatusReply)).statistics
        except RefusedError as error:
            return status_in(error)

    async def pause(self, handler: str | None = None) -> tuple[PauseRecord, ...]:
        """Start no more tasks of a handler, or none at all, and return all pauses.

        Raises:
            NotFoundError: the server does not have the handler.
        """
        return (await self._requester.ask(requests.pause(handler), PausesReply)).pauses

    async def resume(self, handler: str | None = None) -> tuple[PauseRecord, ...]:
        """End the pause of a handler, or that of everything, and return the pauses that are left.

        Raises:
            NotFoundError: the server does not have the handler.
        """
        return (await self._requester.ask(requests.resume(handler), PausesReply)).pauses

    async def drain(self) -> ServerStatus:
        """Begin the stop of the server, and return its state."""
        return (await self._requester.ask(requests.drain(), StatusReply)).statistics

    async def _bulk(
        self, action: Mapping[str, Any], ids: Sequence[str], tasks_max: int, dry_run: bool, criteria: Criteria
    ) -> BulkCounts:
        which = {"ids": ids} if ids else {"filter": criteria_json(criteria)}
        body = {**action, **which, "max": tasks_max, "dry_run": dry_run}
        return await self._requester.ask(requests.bulk(body), BulkCounts)
