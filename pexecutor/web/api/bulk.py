"""Answer requests to cancel, retry or change many tasks at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final

import msgspec
import structlog
from msgspec import UNSET, Meta, UnsetType

from ...config import Config
from ...core.bulk import Action, BulkRequest
from ...core.executor import Executor
from ...limits.defaults import BULK_TASKS_MAX
from ...task import DRAINING, Full, Priority, Verdict
from .client_input import ClientInput
from .decode import decode_object
from .filters import FilterQuery
from .reply import Reply, json_reply, refusal_reply
from .request import IncomingRequest, read_json_body

BULK_TASKS: Final = 1000
"""How many tasks a bulk concerns at most, unless its body says otherwise."""

BULK_IDS_MAX: Final = 1000

_log = structlog.get_logger()


class BulkBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An action on all tasks that a filter matches.

    Parameters:
        action: ``cancel`` for tasks in flight, ``retry`` for finished tasks, or ``priority`` for waiting tasks.
        filter: which tasks, by the parameters of ``GET /tasks``; at least one, unless ``ids`` are given.
        ids: which tasks, by their ids, instead of a filter.
        max: how many tasks the bulk concerns at most.
        dry_run: whether to count the matching tasks without changing any.
        priority: the new priority, for the action ``priority`` alone.

    Raises:
        ValueError: no task is named, the filter cannot match, or ``priority`` is missing or superfluous.
    """

    action: Action
    filter: FilterQuery = msgspec.field(default_factory=FilterQuery)
    ids: Annotated[list[str], Meta(max_length=BULK_IDS_MAX)] = []
    max: Annotated[int, Meta(ge=1, le=BULK_TASKS_MAX)] = BULK_TASKS
    dry_run: bool = False
    priority: Priority | UnsetType = UNSET

    def __post_init__(self) -> None:
        if (self.action == "priority") != (self.priority is not UNSET):
            raise ValueError("`priority` must be given for the action `priority`, and for no other")
        self.request()

    def request(self) -> BulkRequest:
        """Return the request to the executor."""
        return BulkRequest(
            action=self.action,
            filter=self.filter.filter(),
            task_ids=self.ids,
            tasks_max=self.max,
            dry_run=self.dry_run,
            priority=0 if self.priority is UNSET else self.priority,
        )


class BulkAnswers:
    """Answers about many tasks of one executor."""

    def __init__(self, executor: Executor, config: Config) -> None:
        self._executor = executor
        self._config = config

    async def act(self, request: IncomingRequest) -> Reply:
        """Act on all tasks that a filter matches, and count them.

        A client that leaves stops the bulk before its next step.
        """
        body = await read_json_body(
            request, bytes_max=self._config.body_bytes_max, seconds_max=self._config.request_timeout_seconds
        )
        bulk = decode_object(body, BulkBody)
        result = await self._executor.bulk.run(bulk.request(), stops=_left(request.input))
        if not bulk.dry_run:
            _log.info(f"bulk {bulk.action}", changed=result.changed, unchanged=result.unchanged, more=result.more)
        if result.stopped is not UNSET and not result.matched:
            refused: Verdict = DRAINING if result.stopped == "draining" else Full()
            return refusal_reply([refused], self._executor.retry_after_seconds, {})
        return json_reply(result)


def _left(client: ClientInput) -> Callable[[], bool]:
    """Return a function that says whether the client has left.

    A client that closes its connection cannot be told from one that only ends its sending side and still reads. So the
    end of the input counts, unless the client had ended it together with its request, as ``nc -N`` does.
    """
    had_ended = client.ended
    return lambda: client.ended and not had_ended
