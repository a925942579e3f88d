"""A record comes back from its row as it was."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from pexecutor import Attempt, Ending, Finished, Following, Outcome, Pending, Record, Running, Scheduled, Task
from pexecutor.stores.sqlite.rows import COLUMNS, from_row, to_row
from pexecutor.task import TAG_BITS, make_serial

PLAIN = Task("plain")
FULL = Task(
    "näme \N{SNOWMAN}",
    handler="backup",
    params={"deep": {"list": [1, None, "x"]}},
    priority=-100,
    run_at=datetime(2027, 1, 2, 3, 4, 5, 678, tzinfo=UTC),
    timeout=5,
    retries=3,
    retry_delay=7,
    on_conflict="latest",
    on_crash="fail",
    keep=0,
)
TRIED = (Attempt(1.25, 2.5, Outcome.FAILED, "so"), Attempt(3.0, 4.0, Outcome.TIMED_OUT, None))
ENDING = Ending(Outcome.FAILED, "why", False, 7.5, b'{"result":1}', b'{"stdout":"\\u0000"}')

RECORDS: list[Record] = [
    Pending(1, PLAIN, 0.1, ()),
    Pending(make_serial(2**TAG_BITS - 1, 2**40 - 1), FULL, 1_800_000_000.123456, TRIED),
    Scheduled(2, FULL, 0.5, TRIED, 1_800_000_000.7),
    Following(3, FULL, 0.5, (), 2, supersedes=True),
    Following(3, FULL, 0.5, (), 2, supersedes=False),
    Running(4, FULL, 0.5, TRIED, 9.5),
    Finished(5, FULL, 0.5, TRIED, 10.5, ENDING),
    *(Finished(6, PLAIN, 0.5, (), 1.0, Ending(outcome)) for outcome in Outcome),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_it_comes_back(record: Record) -> None:
    row = to_row(record)
    assert len(row) == len(COLUMNS)
    assert from_row(row) == record


def test_a_serial_fits_into_a_signed_integer_of_64_bits() -> None:
    assert make_serial(2**TAG_BITS - 1, 2**40 - 1) < 2**63


def row(**changes: Any) -> tuple[Any, ...]:
    values = dict(zip(COLUMNS, to_row(RECORDS[6]), strict=True))
    assert values.keys() >= changes.keys()
    return tuple((values | changes).values())


@pytest.mark.parametrize(
    "changes",
    [
        {"state": "gone"},
        {"task": "{}"},
        {"task": "no JSON"},
        {"attempts": "[1]"},
        {"attempts": '[{"started_at":1e15,"ended_at":1,"outcome":"failed","error":null}]'},
        {"ending": '{"outcome":"eaten"}'},
        {"at": None},
        {"at": 1e15},
        {"submitted_at": -1.0},
        {"rare": "[]"},
    ],
    ids=repr,
)
def test_what_nobody_wrote_is_no_record(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # whichever: it is told with its message
        from_row(row(**changes))


def test_a_decoding_error_is_a_value_error() -> None:
    assert issubclass(msgspec.DecodeError, ValueError)
