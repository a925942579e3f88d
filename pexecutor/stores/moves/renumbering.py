"""``Renumbering``: new serials for moved tasks and deliveries, if the target of a move has given out ids of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from ...task import Following, Record, format_task_id, make_serial, parse_task_id
from ..answers import Answer, KeyedAnswer, answer_of
from ..deliveries import Delivery, EndNotice
from ..sqlite.database import StoreIdentity

More = Callable[[], Awaitable[Sequence[Record]]]
"""Returns the next records with each call, in order of acceptance; an empty list at the end."""


class Renumbering:
    """New serials in the old order; ``identity`` is the target's, after the last new serial."""

    def __init__(self, identity: StoreIdentity) -> None:
        self.identity = identity
        self._serials: dict[int, int] = {}

    async def read(self, more: More) -> None:
        """Assign a new serial to every record."""
        while some := await more():
            for record in some:
                self._assign(record.serial)

    def _assign(self, serial: int) -> int:
        self.identity = self.identity._replace(acceptances=self.identity.acceptances + 1)
        self._serials[serial] = new = make_serial(*self.identity)
        return new

    def of_answers(self, answers: Sequence[KeyedAnswer]) -> list[KeyedAnswer]:
        """Return the answers with new serials; a task that is not moved gets one that no other task gets."""
        return [KeyedAnswer(key, self._with_new_numbers(answer)) for key, answer in answers]

    def _with_new_numbers(self, answer: Answer) -> Answer:
        numbers = [self._new_number(number) for number in answer.numbers()]
        return answer_of(answer.digest, answer.at, numbers)

    def _new_number(self, number: int) -> int:
        serial = abs(number)
        new = self._serials.get(serial) or self._assign(serial) if serial else 0
        return new if number > 0 else -new

    def of_deliveries(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """Return the deliveries with new serials; the notice of a task that is not moved keeps the task's old id."""
        return [self._with_new_ids(delivery) for delivery in deliveries]

    def _with_new_ids(self, delivery: Delivery) -> Delivery:
        notice = delivery.notice
        if isinstance(notice, EndNotice) and (serial := self._serials.get(parse_task_id(notice.task_id) or 0)):
            notice = msgspec.structs.replace(notice, task_id=format_task_id(serial))
        return msgspec.structs.replace(delivery, serial=self._assign(delivery.serial), notice=notice)

    def of(self, more: More) -> More:
        """Return a function that gives the same records with their new serials."""

        async def renumbered() -> list[Record]:
            return [self._with_new_serials(record) for record in await more()]

        return renumbered

    def _with_new_serials(self, record: Record) -> Record:
        serial = self._serials[record.serial]
        if record.rare is not None and record.rare.retry_of:
            again = self._serials.get(record.rare.retry_of, 0)  # 0: the task that it repeats is not moved
            record = msgspec.structs.replace(record, rare=msgspec.structs.replace(record.rare, retry_of=again))
        if isinstance(record, Following):
            return msgspec.structs.replace(record, serial=serial, follows=self._serials[record.follows])
        return msgspec.structs.replace(record, serial=serial)
