"""Counting tasks in batches gives the same result as counting them one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pexecutor import Finished, Outcome, Record, Running, Task
from pexecutor.core.statistics import Tally
from pexecutor.observe.batch_counts import GATHERED_MAX, Gathered, by_handler, by_kind, value_counts
from pexecutor.observe.histogram import Histogram
from pexecutor.observe.timeline import INTERVAL_SECONDS, Timeline
from pexecutor.stores.local.submission import attempts
from pexecutor.task import Ending, Pending, Scheduled

HANDLERS = ["a", "b"]


def told(histograms: Mapping[Any, Histogram]) -> dict[Any, tuple[list[int], Any]]:
    """Return the counts and the sum of each histogram."""
    return {key: (histogram.counts, pytest.approx(histogram.sum)) for key, histogram in histograms.items()}


@st.composite
def lives(draw: st.DrawFn) -> list[Record]:
    """The states of a task's life, from its start on."""
    started_at = draw(st.sampled_from([10.0, 12.0, 14.5]))
    task = Task("name", handler=draw(st.sampled_from(HANDLERS)))
    running = Running(draw(st.integers(1, 10**6)), task, draw(st.sampled_from([9.0, 10.0])), (), started_at)
    ended_at = started_at + draw(st.sampled_from([0.0, 0.25]))
    tried = attempts(running, Ending(draw(st.sampled_from(list(Outcome)))), ended_at)
    if draw(st.booleans()):
        return [running, Scheduled(running.serial, task, running.submitted_at, tried, ended_at + 60)]
    return [running, Finished(running.serial, task, running.submitted_at, tried, ended_at, Ending(tried[-1].outcome))]


Lives = st.lists(lives(), max_size=12).map(
    lambda those: sorted(chain.from_iterable(those), key=lambda record: record.since)
)


@given(st.lists(st.integers(0, 2)))
def test_each_value_is_told_with_how_often_it_is_there(values: list[int]) -> None:
    assert dict(value_counts(values)) == Counter(values)


@given(Lives)
def test_records_are_parted_and_keep_their_order(records: list[Record]) -> None:
    assert dict(by_handler(records)) == {
        handler: those for handler in HANDLERS if (those := [one for one in records if one.task.handler == handler])
    }
    assert dict(by_kind(records)) == {
        kind: those
        for kind in (Running, Scheduled, Finished)
        if (those := [one for one in records if type(one) is kind])
    }


def test_what_is_gathered_is_dealt_with_once_when_it_is_many_or_wanted() -> None:
    dealt: list[list[int]] = []
    records = [Pending(number, Task("name"), 0.0, ()) for number in range(GATHERED_MAX + 1)]
    gathered = Gathered[Pending](lambda those: dealt.append([one.serial for one in those]))

    gathered.settle()
    gathered.add_all(records[:1])
    assert dealt == []
    gathered.add_all(records[1:-1])
    assert dealt == [list(range(GATHERED_MAX))]
    gathered.add_all(records[-1:])
    gathered.settle()
    gathered.settle()
    assert dealt[1:] == [[GATHERED_MAX]]


@given(Lives)
def test_a_timeline_is_the_same_for_a_batch_as_for_one_by_one(records: list[Record]) -> None:
    def noted(batches: Sequence[Sequence[Record]], *, looked_at: bool) -> object:
        timeline = Timeline()
        for batch in batches:
            timeline.note(batch)
            if looked_at:
                timeline.since(0)
        return timeline.since(0)

    now = [record for record in records if record.since < INTERVAL_SECONDS]
    assert noted([now], looked_at=False) == noted([[record] for record in now], looked_at=True)
    assert noted([[record] for record in records], looked_at=False) == noted(
        [[record] for record in records], looked_at=True
    )


@given(Lives)
def test_counts_are_the_same_for_a_batch_as_for_one_by_one(records: list[Record]) -> None:
    def counted(batches: Sequence[Sequence[Record]]) -> object:
        tally = Tally(HANDLERS)
        for batch in batches:
            tally.count_started([record for record in batch if isinstance(record, Running)])
            tally.count_attempts([record for record in batch if isinstance(record, Scheduled | Finished)])
            if len(batches) > 1:
                tally.by_handler()
        timings = tally.timings(commits=Histogram([1]))
        return tally.by_handler(), told(timings.queued), told(timings.attempts)

    assert counted([records]) == counted([[record] for record in records])
