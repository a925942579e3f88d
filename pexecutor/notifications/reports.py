"""``Reports``: the log lines about notifications.

A receiver that is down fails many attempts. So only the first failure of a target is logged as a warning, and then its
next success; each further failure is logged at the level ``debug``. A notification that ends without success has a line
of its own, but at most ``LINES_PER_SECOND_MAX`` per second; the next line gives the number of those left out.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Final

from ..errors import counted
from ..observe.notify import SafeLogger
from ..stores.deliveries import Delivery, EndNotice
from .counts import NotificationResult
from .settings import Target

LINES_PER_SECOND_MAX: Final = 10

_NOT_ONE_LINE: Final = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029]+")

_ENDED: Final = {
    "expired": "could not be delivered within one day",
    "dropped": "was dropped, because the store keeps no more notifications",
}


class Reports:
    """Writes the log lines.

    Parameters:
        log: the log.
        now: a clock, in seconds.
    """

    def __init__(self, log: SafeLogger, now: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._now = now
        self._failing: set[str] = set()
        """The targets whose last attempt failed."""
        self._window = -float("inf")
        self._lines = 0
        self._left_out = 0

    def delivered(self, target: str) -> None:
        """Log that a target accepts notifications again, if it did not before."""
        if target in self._failing:
            self._failing.discard(target)
            self._log.info("notifications to %r are delivered again", target)

    def failed(self, delivery: Delivery, why: str) -> None:
        """Log a failed attempt: as a warning if it is the first one of its target."""
        if delivery.target in self._failing:
            self._log.debug("notification %s to %r failed again: %s", delivery.id, delivery.target, why)
            return
        self._failing.add(delivery.target)
        self._log.warning("notifications to %r fail, and are tried again for one day: %s", delivery.target, why)

    def gone(self, target: Target) -> None:
        """Log that a target was switched off."""
        self._log.error(
            "notifications to %r are switched off until the next start or reload: %s replied with status 410; "
            "change the url of [notify.%s], or remove the table",
            target.name,
            target.address.origin,
            target.name,
        )

    def ended(self, delivery: Delivery, result: NotificationResult) -> None:
        """Log that a notification ended without success."""
        now = self._now()
        if now >= self._window + 1:
            self._window, self._lines = now, 0
        if self._lines == LINES_PER_SECOND_MAX:
            self._left_out += 1
            return
        self._lines += 1
        left_out = f"; {counted(self._left_out, 'more line')} like this left out" if self._left_out else ""
        self._left_out = 0
        self._log.error(
            "notification %s to %r (%s) %s, after %s%s",
            delivery.id,
            delivery.target,
            _subject(delivery),
            _ENDED[result],
            counted(delivery.attempts, "attempt"),
            left_out,
        )


def _subject(delivery: Delivery) -> str:
    notice = delivery.notice
    if isinstance(notice, EndNotice):
        text = f"task {notice.task_id} {notice.name!r} {notice.outcome}"
    else:
        text = f"schedule {notice.schedule!r} skipped: {notice.reason}"
    return _NOT_ONE_LINE.sub(" ", text)
