"""Bugs that are planted in limits and pauses are found by seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import pytest

from pexecutor import Record
from pexecutor.stores.local.limits import LocalLimits
from pexecutor.stores.local.slots import Slots
from pexecutor.stores.sqlite import limit_rows

from ..stores.broken_limits import (
    exceed_a_limit_by_one,
    keep_the_slot_of_a_retry,
    overtake_within_a_key,
    wake_no_blocked_task,
)
from .ledger import BrokenInvariantError
from .world import World

SEEDS: Final = range(300)

Plant = Callable[[pytest.MonkeyPatch], None]


def keep_slots_after_a_crash(patch: pytest.MonkeyPatch) -> None:
    take = Slots.take

    def take_again(self: Slots, records: Sequence[Record]) -> None:
        take(self, [record for record in records if not record.crashes])

    patch.setattr(Slots, "take", take_again)
    patch.setattr(Slots, "free", lambda *_: None)


def forget_at_each_start(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LocalLimits, "load", lambda *_: None)


def write_no_end_of_a_pause(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(limit_rows, "_REMOVE", "DELETE FROM limits WHERE kind = ? AND name = ? AND number")


PLANTED: Final[dict[Plant, str]] = {
    exceed_a_limit_by_one: "no limit is exceeded",
    keep_the_slot_of_a_retry: "slots in use are running tasks|the process lives",
    keep_slots_after_a_crash: "slots in use are running tasks",
    wake_no_blocked_task: "every task comes to its end",
    overtake_within_a_key: "first come, first started",
    forget_at_each_start: "what was set stays set",
    write_no_end_of_a_pause: "what was set stays set",
}
"""Each with the promise that it breaks."""


SEEDS_THAT_FIND: Final[dict[Plant, int]] = {
    overtake_within_a_key: 353,
    forget_at_each_start: 91,
    wake_no_blocked_task: 11,
}
"""For bugs that few seeds find. When other seeds do, after a change of the simulation, enter one of those."""


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_bug_is_found(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    with pytest.raises(BrokenInvariantError, match=PLANTED[plant]):
        _run_seeds(SEEDS_THAT_FIND.get(plant, 0))


def _run_seeds(first: int) -> None:
    for seed in (first, *SEEDS):
        world = World(seed)
        if world.limits.are_used:
            world.run()
