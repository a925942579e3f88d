"""List the notifications that wait for their delivery, as rows like those of waiting tasks."""

from __future__ import annotations

from typing import NamedTuple

from msgspec import UNSET

from ...core.executor import Executor
from ...errors import InvalidCursorError
from ...handlers.catalogue import NOTIFY_PREFIX
from ...stores.deliveries import Delivery
from ...task import State, parse_task_id
from .errors import BadRequestError
from .wire import TaskView, timestamp


class DeliveryPage(NamedTuple):
    """One page of deliveries, and the cursor of the next page: ``None`` on the last page."""

    rows: list[TaskView]
    next_cursor: str | None


async def deliveries_page(executor: Executor, handler: str, limit: int, cursor: str | None) -> DeliveryPage:
    """Return one page of the deliveries of a target, in the order in which they were made.

    Parameters:
        executor: the executor whose store has the deliveries.
        handler: ``notify:`` and the name of the target.
        limit: how many deliveries the page has at most.
        cursor: the id of the last delivery of the previous page.

    Raises:
        BadRequestError: the handler names no target.
        InvalidCursorError: the cursor is not the id of a delivery.
    """
    target = handler.removeprefix(NOTIFY_PREFIX)
    if not target:
        raise BadRequestError(f"`handler` names no target: write, for example, handler={NOTIFY_PREFIX}ops")
    after = 0 if cursor is None else parse_task_id(cursor)
    if after is None:
        raise InvalidCursorError("`cursor` does not belong to this listing: take it unchanged from the Link header")
    found = await executor.notifications.page(target, limit + 1, after)
    shown = found[:limit]
    return DeliveryPage(list(map(_row, shown)), shown[-1].id if len(found) > limit else None)


def _row(delivery: Delivery) -> TaskView:
    waits = delivery.attempts > 0
    return TaskView(
        id=delivery.id,
        name=delivery.notice.name,
        state=State.SCHEDULED if waits else State.PENDING,
        duration=0,
        handler=NOTIFY_PREFIX + delivery.target,
        priority=0,
        submitted_at=timestamp(delivery.made_at),
        due_at=timestamp(delivery.due_at) if waits else UNSET,
    )
