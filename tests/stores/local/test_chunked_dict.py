"""A dict in parts is a dict, and none of its parts is large."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pexecutor import Pending, Task
from pexecutor.stores.local.chunked_dict import PART_BITS, BySerial
from pexecutor.stores.local.registry import ShardedLockDict

RECORDS = 100_000
Serials = st.integers(0, 3).flatmap(lambda part: st.integers(0, 3).map(lambda low: part << PART_BITS | low))


@given(changes=st.lists(st.tuples(st.sampled_from(["set", "delete"]), Serials)))
def test_it_is_a_dict(changes: list[tuple[str, int]]) -> None:
    parted, plain = BySerial[str](), dict[int, str]()
    for number, (verb, serial) in enumerate(changes):
        if verb == "set":
            parted[serial] = plain[serial] = str(number)
        else:
            assert (serial in parted) == (serial in plain)
            parted.pop(serial, None)
            plain.pop(serial, None)
        assert parted.get(serial) == plain.get(serial)
        assert (len(parted), dict(parted)) == (len(plain), plain)


@given(batches=st.lists(st.tuples(st.sampled_from(["set", "delete"]), st.lists(Serials, unique=True))))
def test_many_at_once_are_as_one_by_one(batches: list[tuple[str, list[int]]]) -> None:
    parted, plain = BySerial[str](), dict[int, str]()
    for number, (verb, serials) in enumerate(batches):
        there = [serial for serial in serials if serial in plain]
        if verb == "set":
            parted.put_all(serials, [f"{number} {serial}" for serial in serials])
            plain.update({serial: f"{number} {serial}" for serial in serials})
        else:
            assert parted.get_all(there) == [plain.pop(serial) for serial in there]
            parted.remove_all(there)
        assert parted.get_each(serials) == [plain.get(serial) for serial in serials]
        assert dict(parted) == plain
        assert len(parted._parts) == len({serial >> PART_BITS for serial in plain})


def test_no_part_is_large() -> None:
    task = Task("a")
    records = BySerial[Pending]()
    records.put_all(range(RECORDS), [Pending(serial, task, 0.0, ()) for serial in range(RECORDS)])
    assert (len(records), records[RECORDS - 1].serial) == (RECORDS, RECORDS - 1)
    assert max(map(len, records._parts.values())) <= 1 << PART_BITS
    for serial in range(RECORDS):
        del records[serial]
    assert (len(records), len(records._parts)) == (0, 0)


async def test_no_part_of_the_names_is_large() -> None:
    registry = ShardedLockDict[int]()
    async with registry.all_locked():
        registry.hold_all([f"task-{number}" for number in range(RECORDS)], range(RECORDS))
        assert (len(registry), registry.get("task-7")) == (RECORDS, 7)
        assert max(map(len, registry._entries)) < RECORDS / 16
        registry.free_all([f"task-{number}" for number in range(RECORDS)])
    assert len(registry) == 0
