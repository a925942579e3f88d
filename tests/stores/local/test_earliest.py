"""``Earliest``: the first of many places, at a bounded cost of each call."""

from __future__ import annotations

from functools import total_ordering
from random import Random
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pexecutor.stores.local import earliest
from pexecutor.stores.local.earliest import Earliest

KEYS: Final = 10_000
COMPARISONS_A_CALL_MAX: Final = 50


@pytest.fixture
def short_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(earliest, "PART_LENGTH_MAX", 4)


@pytest.mark.usefixtures("short_parts")
@given(st.lists(st.tuples(st.integers(0, 20), st.none() | st.integers(0, 5))))
def test_the_first_place_is_the_lowest_of_all(changes: list[tuple[int, int | None]]) -> None:
    some, places = Earliest[int, int](), dict[int, int]()
    for key, place in changes:
        if place is None:
            some.forget(key)
            places.pop(key, None)
        else:
            some.set(key, place)
            places[key] = place
        assert some.first() == min(((place, key) for key, place in places.items()), default=None)
        assert len(some) == len(places)


@total_ordering
class CountedPlace:
    """A place that counts its comparisons."""

    comparisons = 0

    def __init__(self, number: int) -> None:
        self._number = number

    def __lt__(self, other: CountedPlace) -> bool:
        CountedPlace.comparisons += 1
        return self._number < other._number

    def __eq__(self, other: object) -> bool:
        CountedPlace.comparisons += 1
        return isinstance(other, CountedPlace) and self._number == other._number

    def __hash__(self) -> int:
        return self._number


@pytest.mark.parametrize("order", ["forward", "backward", "at random"])
def test_no_call_goes_through_many_keys(order: str) -> None:
    some = Earliest[int, CountedPlace]()
    keys = [*range(KEYS)]
    if order == "backward":
        keys.reverse()
    elif order == "at random":
        Random(1).shuffle(keys)
    most = 0

    for key in range(KEYS):
        some.set(key, CountedPlace(key))
    for key in keys:
        CountedPlace.comparisons = 0
        some.forget(key)
        some.first()
        most = max(most, CountedPlace.comparisons)

    assert most <= COMPARISONS_A_CALL_MAX
    assert len(some) == 0
