"""What the dispatcher expects of a sender: it makes one attempt of a delivery, and returns what the receiver did."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Final, Literal, NamedTuple

from ..stores.deliveries import Delivery
from .settings import Target


class SendResult(NamedTuple):
    """The result of one attempt.

    Parameters:
        kind: whether the receiver has accepted the notification, has not, or is gone for good (status 410).
        why: why it has not, without the path and the query of the URL.
        retry_after_seconds: the shortest wait before the next attempt, if the receiver gave one.
    """

    kind: Literal["delivered", "failed", "gone"]
    why: str = ""
    retry_after_seconds: float = 0.0


DELIVERED: Final = SendResult("delivered")

Send = Callable[[Delivery], Awaitable[SendResult]]
OpenSender = Callable[[Mapping[str, Target]], AbstractAsyncContextManager[Send]]
