"""``DeliveryBook``: the deliveries of a local store, by serial, by age, and by target and due time. It is synchronous.

The orders are sorted lists: with some thousand entries, inserting takes less than a lookup in a tree.

A take changes only the time at which a delivery is due, and not the delivery itself. So what is written later, or
restored after a crash, knows nothing of the take.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from ..deliveries import Delivery, DeliveryBounds

Place = tuple[float, int]
"""A time and a serial: the place of a delivery in an order."""


class DeliveryBook:
    """Deliveries, at most as many as the bounds allow.

    Parameters:
        bounds: how many deliveries are kept, and for how long.
        forget: called with the serials of deliveries that the book no longer has, to drop what is written of them.
    """

    def __init__(self, bounds: DeliveryBounds, forget: Callable[[Sequence[int]], None]) -> None:
        self.changed: Callable[[], None] = lambda: None
        """Called once deliveries were added or put off."""
        self.ended: Callable[[Sequence[Delivery]], None] = lambda _: None
        """Called with the deliveries that had to go because there were too many, the oldest first."""
        self._bounds = bounds
        self.forget: Callable[[Sequence[int]], None] = forget
        # Changed together, by _put() and remove(); _due_at and _due also by take().
        self._deliveries: dict[int, Delivery] = {}
        self._ages: list[Place] = []
        self._serials: defaultdict[str, list[int]] = defaultdict(list)  # by target
        self._due: defaultdict[str, list[Place]] = defaultdict(list)  # by target
        self._due_at: dict[int, float] = {}  # when each delivery is due; a taken one, when it is due again

    def __len__(self) -> int:
        return len(self._deliveries)

    def get(self, serial: int) -> Delivery | None:
        """Return a delivery, or ``None``."""
        return self._deliveries.get(serial)

    def put(self, deliveries: Iterable[Delivery]) -> None:
        """Put deliveries, each in the place of its earlier state, and end the oldest ones that are too many."""
        for delivery in deliveries:
            self._put(delivery)
        self._end_surplus()
        self.changed()

    def _put(self, delivery: Delivery) -> None:
        if delivery.serial in self._deliveries:
            self.remove([delivery.serial])
        self._deliveries[delivery.serial] = delivery
        insort(self._ages, (delivery.made_at, delivery.serial))
        insort(self._serials[delivery.target], delivery.serial)
        self._set_due(delivery, delivery.due_at)

    def _set_due(self, delivery: Delivery, due_at: float) -> None:
        self._due_at[delivery.serial] = due_at
        insort(self._due[delivery.target], (due_at, delivery.serial))

    def _forget_due(self, delivery: Delivery) -> None:
        due = self._due[delivery.target]
        del due[bisect_left(due, (self._due_at.pop(delivery.serial), delivery.serial))]

    def _end_surplus(self) -> None:
        if surplus := self._ages[: max(0, len(self) - self._bounds.deliveries_max)]:
            serials = [serial for _, serial in surplus]
            self.forget(serials)
            self.ended(self.remove(serials))

    def remove(self, serials: Iterable[int]) -> list[Delivery]:
        """Remove deliveries, and return those that were there."""
        removed = [delivery for serial in serials if (delivery := self._deliveries.pop(serial, None)) is not None]
        for delivery in removed:
            del self._ages[bisect_left(self._ages, (delivery.made_at, delivery.serial))]
            serials_of_target = self._serials[delivery.target]
            del serials_of_target[bisect_left(serials_of_target, delivery.serial)]
            self._forget_due(delivery)
            if not serials_of_target:
                del self._serials[delivery.target], self._due[delivery.target]
        return removed

    def take(self, target: str, now: float, until: float) -> Delivery | None:
        """Return the delivery that has been due longest and make it due again at ``until``; ``None`` if none is due."""
        due = self._due.get(target)
        if not due or due[0][0] > now:
            return None
        delivery = self._deliveries[due[0][1]]
        self._forget_due(delivery)
        self._set_due(delivery, until)
        return delivery

    def next_due(self, targets: Iterable[str]) -> float | None:
        """Return when the next delivery of these targets is due, or ``None``."""
        return min((due[0][0] for target in targets if (due := self._due.get(target))), default=None)

    def old(self, now: float, limit: int) -> list[int]:
        """Return the serials of the deliveries that have reached their age, the oldest first."""
        end = bisect_right(self._ages, (now - self._bounds.seconds_max, 2**63))
        return [serial for _, serial in self._ages[: min(end, limit)]]

    def next_old(self) -> float | None:
        """Return when the oldest delivery reaches its age, or ``None``."""
        return self._ages[0][0] + self._bounds.seconds_max if self._ages else None

    def page(self, target: str, limit: int, after: int) -> list[Delivery]:
        """Return the first deliveries of a target by serial, after a serial."""
        serials = self._serials.get(target, [])
        first = bisect_right(serials, after)
        return [self._deliveries[serial] for serial in serials[first : first + limit]]
