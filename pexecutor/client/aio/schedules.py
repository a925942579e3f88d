"""``AsyncScheduleClient``: the schedules of a server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

from .. import requests
from ..fields import NewTask, ScheduleTimes, json_of
from ..more_records import ScheduleRecord
from ..records import TaskRecord
from .handle import AsyncHandle
from .pages import AsyncPages
from .requester import AsyncRequester


class AsyncScheduleClient:
    """The schedules of a server: ``client.schedules``."""

    def __init__(self, requester: AsyncRequester) -> None:
        self._requester = requester

    async def put(self, name: str, task: NewTask, /, **times: Unpack[ScheduleTimes]) -> ScheduleRecord:
        """Store a schedule, in the place of one with the same name, and return it.

        Parameters:
            name: the name of the schedule.
            task: the task that each occurrence submits.
            times: when; see ``ScheduleTimes``.

        Raises:
            InvalidScheduleError: a field is invalid.
            RefusedError: a settings file declares the schedule (409), or there are too many (429).
        """
        definition: Mapping[str, Any] = {"task": json_of(task), **json_of(times)}
        return await self._requester.ask(requests.put_schedule(name, definition), ScheduleRecord)

    async def get(self, name: str) -> ScheduleRecord:
        """Return a schedule.

        Raises:
            NotFoundError: there is no such schedule.
        """
        return await self._requester.ask(requests.schedule(name), ScheduleRecord)

    def list(self) -> AsyncPages[ScheduleRecord]:
        """Iterate over all schedules, by name."""
        return AsyncPages(self._requester, requests.schedules(), ScheduleRecord)

    async def pause(self, name: str) -> ScheduleRecord:
        """Skip the times of a schedule from now on, and return the schedule.

        Raises:
            NotFoundError: there is no such schedule.
        """
        return await self._requester.ask(requests.pause_schedule(name, paused=True), ScheduleRecord)

    async def resume(self, name: str) -> ScheduleRecord:
        """End the pause of a schedule, and return the schedule.

        Raises:
            NotFoundError: there is no such schedule.
        """
        return await self._requester.ask(requests.pause_schedule(name, paused=False), ScheduleRecord)

    async def run(self, name: str) -> AsyncHandle:
        """Submit the task of a schedule now, and return its handle. This request is never repeated.

        Raises:
            NotFoundError: there is no such schedule.
            DuplicateError, QueueFullError, DrainingError: the task was refused.
        """
        return AsyncHandle(self._requester, await self._requester.ask(requests.run_schedule(name), TaskRecord))

    async def delete(self, name: str, *, force: bool = False) -> None:
        """Remove a schedule; its tasks stay.

        Parameters:
            name: the name of the schedule.
            force: whether to remove it even if a settings file declares it.

        Raises:
            NotFoundError: there is no such schedule.
            RefusedError: a settings file declares it (409).
        """
        await self._requester.perform(requests.remove_schedule(name, force=force))
