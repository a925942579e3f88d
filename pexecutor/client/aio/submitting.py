"""Submit one task or many, so that each is accepted once whatever the connection does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...errors import InvalidTaskError, RefusedError
from ...limits.defaults import CLIENT_PAUSE_SECONDS
from ...limits.times import WAIT_FOR_ROOM_SECONDS_MAX
from .. import requests
from ..batches import IndexedTask, counts_of, lists_of, verdicts_of, with_indexes
from ..errors import QueueFullError
from ..fields import NewTask
from ..records import BatchCounts, SubmittedTasks, SubmitVerdict, TaskRecord
from . import timing
from .requester import AsyncRequester


async def submit_one(
    requester: AsyncRequester, task: Mapping[str, Any], key: str | None, wait_for_room_seconds: float
) -> TaskRecord:
    """Submit one task, and return its record."""
    key, until = key or requests.new_key(), timing.now() + wait_for_room_seconds
    while True:
        left = min(max(0.0, until - timing.now()), WAIT_FOR_ROOM_SECONDS_MAX)
        request = requests.with_key(requests.submit(task, wait_for_room_seconds=left), key)
        try:
            return await requester.ask(request, TaskRecord)
        except QueueFullError:
            if timing.now() >= until:
                raise
        await timing.sleep(CLIENT_PAUSE_SECONDS)  # the wait for room was in vain


async def submit_all(
    requester: AsyncRequester, tasks: Iterable[NewTask], wait_for_room_seconds: float
) -> SubmittedTasks:
    """Submit tasks in lists, and return the verdicts on all of them."""
    until = timing.now() + wait_for_room_seconds
    verdicts: dict[int, SubmitVerdict] = {}
    for each in lists_of(tasks):
        left = {task.place: task for task in each}
        while left:
            found = await _submit_list(requester, list(left.values()), until - timing.now())
            verdicts.update((verdict.index, verdict) for verdict in found)
            full = [verdict.index for verdict in found if verdict.verdict == "full"]
            left = {index: left[index] for index in full} if timing.now() < until else {}
    return SubmittedTasks(tuple(verdicts[index] for index in sorted(verdicts)))


async def _submit_list(
    requester: AsyncRequester, tasks: Sequence[IndexedTask], wait_for_room_seconds: float
) -> list[SubmitVerdict]:
    wait_seconds = min(max(0.0, wait_for_room_seconds), WAIT_FOR_ROOM_SECONDS_MAX)
    request = requests.submit_list([task.json for task in tasks], wait_for_room_seconds=wait_seconds)
    try:
        counts = await requester.ask(requests.with_key(request, requests.new_key()), BatchCounts)
    except InvalidTaskError as error:
        raise with_indexes(error, tasks) from error
    except RefusedError as error:
        if (refused := counts_of(error)) is None:
            raise
        counts = refused
    return verdicts_of(counts, tasks)
