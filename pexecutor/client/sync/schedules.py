"""``ScheduleClient``: the schedules of a server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

from .. import requests
from ..fields import NewTask, ScheduleTimes, json_of
from ..more_records import ScheduleRecord
from ..records import TaskRecord
from .handle import Handle
from .pages import Pages
from .requester import Requester


class ScheduleClient:
    """The schedules of a server: ``client.schedules``."""

    def __init__(self, requester: Requester) -> None:
        self._requester = requester

    def put(self, name: str, task: NewTask, /, **times: Unpack[ScheduleTimes]) -> ScheduleRecord:
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
        return self._requester.ask(requests.put_schedule(name, definition), ScheduleRecord)

    def get(self, name: str) -> ScheduleRecord:
        """Return a schedule.

        Raises:
            NotFoundError: there is no such schedule.
        """
        return self._requester.ask(requests.schedule(name), ScheduleRecord)

    def list(self) -> Pages[ScheduleRecord]:
        """Iterate over all schedules, by name."""
        return Pages(self._requester, requests.schedules(), ScheduleRecord)

    def pause(self, name: str) -> ScheduleRecord:
        """Skip the times of a schedule from now on, and return the schedule.

        Raises:
            NotFoundError: there is no such schedule.
        """
        return self._requester.ask(requests.pause_schedule(name, paused=True), ScheduleRecord)

    def resume(self, name: str) -> ScheduleRecord:
        """End the pause of a schedule, and return the schedule.

        Raises:
            NotFoundError: there is no such schedule.
        """
        return self._requester.ask(requests.pause_schedule(name, paused=False), ScheduleRecord)

    def run(self, name: str) -> Handle:
        """Submit the task of a schedule now, and return its handle. This request is never repeated.

        Raises:
            NotFoundError: there is no such schedule.
            DuplicateError, QueueFullError, DrainingError: the task was refused.
        """
        return Handle(self._requester, self._requester.ask(requests.run_schedule(name), TaskRecord))

    def delete(self, name: str, *, force: bool = False) -> None:
        """Remove a schedule; its tasks stay.

        Parameters:
            name: the name of the schedule.
            force: whether to remove it even if a settings file declares it.

        Raises:
            NotFoundError: there is no such schedule.
            RefusedError: a settings file declares it (409).
        """
        self._requester.perform(requests.remove_schedule(name, force=force))
