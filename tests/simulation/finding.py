"""Criteria and steps of many in a seed: a step changes what it says, and no record that stays is missing in a listing.

The bounds of a step and of a page are low, so that both are cut often.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from random import Random
from typing import Any, Final

import trio

from pexecutor import Finished, Outcome, PageRequest, Record, State, StoreUnavailableError
from pexecutor.limits.defaults import STEP_RECORDS_MAX
from pexecutor.stores.local.listing import EXAMINED_RECORDS_MAX
from pexecutor.task import format_task_id

from .ledger import demand
from .process import Process

SEEDS_WITH_FINDING: Final = 0.25


class Finding:
    """The listings and the steps of many in one seed.

    Parameters:
        seed: decides about them, without a draw from the chance of the seed's other decisions.
    """

    def __init__(self, seed: int) -> None:
        self._chance = chance = Random(f"finding of {seed}")
        self.is_done: bool = chance.random() < SEEDS_WITH_FINDING
        self.step_records_max: int = chance.choice([2, 3, 5]) if self.is_done else STEP_RECORDS_MAX
        self.examined_max: int = chance.choice([1, 3]) if self.is_done else EXAMINED_RECORDS_MAX

    async def act(self, process: Process) -> None:
        """Find, cancel and change tasks from time to time, until cancelled."""
        while not process.dead:
            await trio.sleep(self._chance.expovariate(1 / 3))
            with suppress(StoreUnavailableError):
                await self._chance.choice([self._list, self._list, self._cancel, self._change])(process)

    def _ids(self, process: Process) -> list[str]:
        """Draw tasks, most of them in flight."""
        ended = self._chance.random() < 0.2
        some = sorted(process.ledger.accepted)[-20:] if ended else sorted(self._in_flight(process))
        return [format_task_id(serial) for serial in self._chance.sample(some, k=min(8, len(some)))]

    def _in_flight(self, process: Process) -> list[int]:
        return [record.serial for record in process.book._records.values() if not isinstance(record, Finished)]

    async def _cancel(self, process: Process) -> None:
        ids = self._ids(process)
        changed = _noted(process)
        results = await process.store.cancel_many(ids)
        self._look_at_step(ids, results, changed)
        for record in results:
            if isinstance(record, Finished) and not process.dead:
                process.ledger.tell_outcome(record)

    async def _change(self, process: Process) -> None:
        ids, priority = self._ids(process), self._chance.randint(-1, 1)
        changed = _noted(process)
        results = await process.store.change_many(ids, priority=priority)
        self._look_at_step(ids, results, changed)
        for record in results:
            demand(record is None or record.task.priority == priority, "a task has the priority that it got", record)

    def _look_at_step(self, ids: Sequence[str], results: Sequence[Record | None], changed: Sequence[Record]) -> None:
        demand(bool(results) or not ids, "a step has a result", ids)
        for task_id, result in zip(ids, results, strict=False):
            demand(result is None or result.id == task_id, "a result is that of its task", task_id, result)
        told = {result.task.name for result in results if result is not None}
        for record in changed:
            demand(record.task.name in told, "a step changes what it says", record, results)
        demand(len(changed) <= max(2, self.step_records_max), "a step is bounded", changed)

    async def _list(self, process: Process) -> None:
        """Read a listing page by page; other callers go on meanwhile."""
        chance, book = self._chance, process.book
        criteria: dict[str, Any] = {
            "state": chance.choice([None, None, *State]),
            "outcome": chance.choice([None, None, None, *Outcome]),
            "name_prefix": chance.choice([None, None, *"abcd"]),
        }
        limit, cursor = chance.choice([1, 2, 5]), None
        stayed, listed = dict(book._records), [0]
        while not process.dead:
            page = await process.store.page(PageRequest(**criteria, limit=limit, cursor=cursor))
            stayed = {serial: record for serial, record in stayed.items() if book.get(serial) is record}
            listed += [record.serial for record in page.records]
            if (cursor := page.next_cursor) is None:
                break
            await trio.sleep(chance.choice([0, 0, 0.01, 1]))
        matches = PageRequest(**criteria).matches
        for serial, record in stayed.items():
            times = listed.count(serial)
            demand(process.dead or times == matches(record), "what stays is listed once", record, times, criteria)


def _noted(process: Process) -> list[Record]:
    """Return a list to which the changes of the next step of many are added."""
    changed: list[Record] = []
    changes = process.store._changes
    complete = type(changes)._complete

    async def noted(some: dict[int, Record], put: Any = None) -> dict[int, Any]:
        changed.extend(some.values())
        return await complete(changes, some, put)

    changes._complete = noted  # type: ignore[method-assign, assignment]
    return changed
