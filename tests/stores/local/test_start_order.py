from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pexecutor import Pending, Task
from pexecutor.stores.local.chunked_dict import BySerial
from pexecutor.stores.local.slots import Slots
from pexecutor.stores.local.start_gate import StartGate
from pexecutor.stores.local.start_order import StartOrder


def pending(serial: int, priority: int = 0) -> Pending:
    return Pending(serial, Task(f"task-{serial}", priority=priority), 0.0, ())


def by_serial(records: list[Pending]) -> BySerial[Pending]:
    kept = BySerial[Pending]()
    kept.put_all([record.serial for record in records], records)
    return kept


def start_order(records: BySerial[Pending]) -> StartOrder:
    slots = Slots()
    return StartOrder(records, slots, StartGate(slots))


def place(record: Pending) -> tuple[int, int]:
    return -record.task.priority, record.serial


def test_higher_priority_first_then_first_come() -> None:
    records = [pending(1), pending(2, priority=5), pending(3), pending(4, priority=5), pending(5, priority=-1)]
    order = start_order(by_serial(records))
    for record in records:
        order.add(record)
    assert [record.serial for record in order] == [2, 4, 1, 3, 5]


def test_removing_what_is_not_there_is_an_error() -> None:
    order = start_order(by_serial([pending(1)]))
    order.add(pending(1))
    with pytest.raises(KeyError):
        order.remove(pending(2))
    with pytest.raises(KeyError):
        order.remove(pending(2, priority=7))


@given(st.lists(st.tuples(st.sampled_from(["add", "pop", "remove", "return"]), st.integers(-3, 3), st.integers(0, 50))))
def test_it_is_a_sorted_list_whatever_happens(steps: list[tuple[str, int, int]]) -> None:
    records = BySerial[Pending]()
    order = start_order(records)
    model: list[Pending] = []
    taken: list[Pending] = []
    for serial, (step, priority, pick) in enumerate(steps, 1):
        if step == "add":
            records[serial] = pending(serial, priority)
            model.append(records[serial])
            order.add(model[-1])
        elif step == "pop" and model:
            taken.append(next(iter(order)))
            order.remove(taken[-1])
            model.remove(taken[-1])
        elif step == "remove" and model:
            order.remove(model.pop(pick % len(model)))
        elif step == "return" and taken:
            model.append(taken.pop(pick % len(taken)))
            order.add(model[-1])
        model.sort(key=place)
        assert list(order.after((-100, 0))) == model
        assert len(order) == len(model)
        for entry in model:
            behind = model[model.index(entry) + 1 :]
            assert list(order.after(place(entry))) == behind
