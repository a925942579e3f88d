"""``Lane``: keys that are removed many at a time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pexecutor.stores.local.sorted_serials import Lane

KEYS = range(100, 400)


def lane_of(keys: range) -> Lane[int]:
    lane = Lane({key: key for key in keys})
    lane.append_all(keys)
    return lane


@settings(deadline=None)
@given(
    st.integers(0, 200),
    st.one_of(
        st.sets(st.sampled_from(KEYS)),
        st.tuples(st.integers(0, 300), st.integers(0, 300)).map(lambda ends: set(KEYS[min(ends) : max(ends)])),
    ),
)
def test_many_keys_are_removed_wherever_they_are(taken: int, gone: set[int]) -> None:
    lane = lane_of(KEYS)
    lane.remove_front(taken)
    left = KEYS[taken:]
    gone &= set(left)
    lane.remove_all(sorted(gone))
    assert [*lane.from_key(0)] == [key for key in left if key not in gone]
    assert len(lane) == len(left) - len(gone)
    lane.add(1000)
    assert lane.last() == 1000


@pytest.mark.parametrize("keys", [[99], [400], [100, 101, 101], [150, 151, 500], [100, 399, 400]])
def test_a_missing_key_is_an_error(keys: list[int]) -> None:
    with pytest.raises(KeyError):
        lane_of(KEYS).remove_all(keys)
