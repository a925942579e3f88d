"""Bugs that are planted in listings and in steps of many are found by seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import pytest

from pexecutor.stores.local import changes, listing
from pexecutor.stores.local.changes import _Cancels

from .ledger import BrokenInvariantError
from .world import World

SEEDS: Final = range(300)

Plant = Callable[[pytest.MonkeyPatch], None]


def cancel_more_than_it_says(patch: pytest.MonkeyPatch) -> None:
    decide = _Cancels.decide

    def decide_and_go_on(self: _Cancels, records: Iterable[Any]) -> Any:
        every = [*records]
        results = decide(self, every)
        decide(self, every[len(results) : len(results) + 1])
        return results

    patch.setattr(_Cancels, "decide", decide_and_go_on)


def lose_a_record_at_a_cut(patch: pytest.MonkeyPatch) -> None:
    fill = listing._fill

    def fill_and_skip(sections: Any, place: Any, request: Any) -> Any:
        records, cursor = fill(sections, place, request)
        if cursor is not None and len(records) < request.limit:
            first, place = listing._enter(sections, cursor)
            for record in sections[first].after(place):
                return records, listing._cursor_behind(sections, record)
        return records, cursor

    patch.setattr(listing, "_fill", fill_and_skip)


def end_at_a_cut(patch: pytest.MonkeyPatch) -> None:
    fill = listing._fill

    def fill_and_end(sections: Any, place: Any, request: Any) -> Any:
        records, cursor = fill(sections, place, request)
        return records, cursor if len(records) == request.limit else None

    patch.setattr(listing, "_fill", fill_and_end)


def answer_in_another_order(patch: pytest.MonkeyPatch) -> None:
    change_many = changes.Changes.change_many

    async def change_backwards(self: changes.Changes, task_ids: Any, priority: int) -> Any:
        return await change_many(self, task_ids[::-1], priority)

    patch.setattr(changes.Changes, "change_many", change_backwards)


PLANTED: Final[dict[Plant, str]] = {
    cancel_more_than_it_says: "a step changes what it says",
    lose_a_record_at_a_cut: "what stays is listed once",
    end_at_a_cut: "what stays is listed once",
    answer_in_another_order: "a result is that of its task",
}
"""Each with the promise that it breaks."""


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises(BrokenInvariantError, match=PLANTED[plant]):
        _run_seeds()


def _run_seeds() -> None:
    for seed in SEEDS:
        world = World(seed)
        if world.finding.is_done:
            world.run()
