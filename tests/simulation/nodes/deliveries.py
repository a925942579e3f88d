"""Deliveries of a queue in a seed: each outcome makes those that its task brings, once and in the same step.

Which targets a task brings depends on the mark of its content alone, so the accounts need not believe the server. Each
node has a taker for all targets: it attempts what is due, and ends it, puts it off, or dies with it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from random import Random
from typing import Any, Final

import msgspec
import trio

from pexecutor import Ending, Outcome, StoreUnavailableError, Task
from pexecutor.stores.deliveries import Delivery, EndNotice
from pexecutor.stores.valkey.delivery_rows import StoredDelivery
from pexecutor.stores.valkey.store import ValkeyStore
from pexecutor.stores.valkey.wire import StoredRecord
from pexecutor.task import Brings

from ..ledger import demand
from .network import KEY

SEEDS_WITH_DELIVERIES: Final = 0.3
TAKEN_SECONDS: Final = 30.0
"""How long a delivery is a taker's own."""

LOOK_SECONDS: Final = 2.0
"""How long a taker waits before it looks again, if no delivery is due earlier."""

TARGETS: Final = ("x", "y")
_BRINGS: Final = (
    None,
    Brings(*([("x",)] * 5)),
    Brings(failed=("x", "y"), timed_out=("y",), cancelled=("y",), abandoned=("y", "x")),
)
_decode_delivery = msgspec.msgpack.Decoder(StoredDelivery).decode
_decode_ending = msgspec.json.Decoder(Ending).decode
_decode_task = msgspec.json.Decoder(Task).decode


class DeliveredWork:
    """The accounts of the deliveries of one seed.

    Parameters:
        seed: decides whether tasks bring deliveries, without a draw from the chance of the seed's other decisions.
    """

    def __init__(self, seed: int) -> None:
        self.chance = Random(f"deliveries of {seed}")
        self.are_made: bool = self.chance.random() < SEEDS_WITH_DELIVERIES
        self._tag = ""
        self._forget()

    def _forget(self) -> None:
        # Changed by look() and forgot(): the packed records; the numbers of the deliveries that were seen; the targets
        # of a task's deliveries, and the tasks that have ended, by number.
        self._records: dict[str, str] = {}
        self._seen: set[str] = set()
        self._made: defaultdict[int, list[str]] = defaultdict(list)
        self._ended: set[int] = set()
        # When deliveries were taken, by serial and the server's clock; and those that one of its takers has put off.
        self._taken: defaultdict[int, list[float]] = defaultdict(list)
        self._put_off: set[int] = set()
        self._forgot_at = 0.0

    def brings(self, task: Task) -> Brings | None:
        """Return the targets of a task's outcomes."""
        return _BRINGS[task.params.get("mark", 0) % len(_BRINGS)] if self.are_made else None

    def look(self, data: Mapping[str, Any]) -> None:
        """See that the deliveries of the server agree with its outcomes."""
        if not self.are_made:
            return
        tag: str = data.get(f"{KEY}:head", {}).get("tag", "")
        if tag != self._tag:  # the server has lost the queue, and a new one gives its numbers again
            self._tag = tag
            self._forget()
        outcomes = self._new_outcomes(data.get(f"{KEY}:record", {}))
        for digits, packed in data.get(f"{KEY}:delivery", {}).items():
            if digits not in self._seen:
                self._see(digits, _decode_delivery(packed.encode("latin-1")), outcomes)
        for number, record in outcomes.items():
            self._ended.add(number)
            self._look_at_outcome(number, record, data[f"{KEY}:task"][f"{number:013}"])

    def _new_outcomes(self, kept: Mapping[str, str]) -> dict[int, StoredRecord]:
        before, self._records = self._records, dict(kept)
        changed = [digits for digits, packed in kept.items() if before.get(digits) != packed]
        records = {int(digits): _unpacked(kept[digits]) for digits in changed}
        return {
            number: record
            for number, record in records.items()
            if record.state == "finished" and number not in self._ended
        }

    def _see(self, digits: str, delivery: StoredDelivery, outcomes: Mapping[int, StoredRecord]) -> None:
        self._seen.add(digits)
        assert isinstance(delivery.notice, EndNotice)
        number = int(delivery.notice.task_id.split("-")[1])
        demand(number in outcomes, "only the step of an outcome makes deliveries", delivery)
        record = outcomes[number]
        facts = (delivery.notice.name, delivery.notice.outcome, delivery.notice.finished_at)
        demand(facts == (record.name, _outcome(record), record.at), "a delivery tells its outcome", delivery, record)
        self._made[number].append(delivery.target)

    def _look_at_outcome(self, number: int, record: StoredRecord, text: str) -> None:
        brings = self.brings(_decode_task(text.encode("latin-1")))
        targets = () if brings is None else brings.targets(_outcome(record))
        made = self._made.get(number, [])
        demand(sorted(made) == sorted(targets), "an outcome has exactly its deliveries", made, targets, record)

    def forgot(self, data: Mapping[str, Any], now: float) -> None:
        """The server has died, and has what it has written: an outcome with its deliveries, or neither."""
        self._records = dict(data.get(f"{KEY}:record", {}))
        in_flight = {int(digits) for digits, packed in self._records.items() if _unpacked(packed).state != "finished"}
        undone = self._ended & in_flight
        for number in undone:
            self._ended.remove(number)
            self._made.pop(number, None)
        self._taken.clear()
        self._forgot_at = now
        for packed in data.get(f"{KEY}:delivery", {}).values() if self.are_made else ():
            notice = _decode_delivery(packed.encode("latin-1")).notice
            assert isinstance(notice, EndNotice)
            number = int(notice.task_id.split("-")[1])
            demand(number not in undone, "an outcome is undone with its deliveries", notice)

    def all_done(self, data: Mapping[str, Any]) -> None:
        """See that every delivery was ended, with all the time that there was."""
        left = data.get(f"{KEY}:delivery", {})
        demand(not left, "every delivery comes to its end", left)
        if self.are_made:
            for index in ("deliveries", "deliveries:targets", "deliveries:due"):
                demand(not data.get(f"{KEY}:{index}"), "an index has no entry of a delivery that is gone", index)

    # Takers

    async def attempt(self, store: ValkeyStore) -> None:
        """Attempt the deliveries that are due, until cancelled."""
        while self.are_made:
            wait = LOOK_SECONDS
            with suppress(StoreUnavailableError):
                due = await store.deliveries.take(TARGETS, TAKEN_SECONDS)
                for delivery in due.deliveries:
                    self._note_taken(delivery, due.now)
                    await self._attempt(store, delivery)
                if due.next_due_at is not None:
                    wait = min(max(due.next_due_at - due.now, 0.01), LOOK_SECONDS)
            await trio.sleep(wait)

    def _note_taken(self, delivery: Delivery, now: float) -> None:
        if now < self._forgot_at or delivery.serial in self._put_off:
            return  # what was forgotten, or put off late, may be taken again
        others = [at for at in self._taken[delivery.serial] if abs(at - now) < TAKEN_SECONDS]
        demand(not others, "only one taker attempts a delivery at a time", delivery, others, now)
        self._taken[delivery.serial].append(now)

    async def _attempt(self, store: ValkeyStore, delivery: Delivery) -> None:
        await trio.sleep(self.chance.choice([0, 0.1, 2]))
        match self.chance.choice(["end", "end", "put off", "lose"]):
            case "end":
                await store.deliveries.end([delivery])
            case "put off":
                self._put_off.add(delivery.serial)
                await store.deliveries.put_off(delivery, 1)


def _unpacked(packed: str) -> StoredRecord:
    return StoredRecord(*msgspec.msgpack.decode(packed.encode("latin-1")))


def _outcome(record: StoredRecord) -> Outcome:
    return _decode_ending(record.ending).outcome
