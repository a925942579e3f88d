"""What observers see of occurrences: counts, metrics, events, the callback and the log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from pexecutor import Executor, LocalStore, ScheduleDeclaration, Task
from pexecutor.log import log_skip
from pexecutor.observe.events import OccurrenceSkipped, Reader
from pexecutor.schedules.counts import OTHERS, SCHEDULES_COUNTED_MAX, OccurrenceCounts
from pexecutor.schedules.next_times import NextTimes
from pexecutor.schedules.times import next_time as next_time_of
from pexecutor.stores.schedules import Definition, NextTime, Schedule, Skipped
from pexecutor.web.api.events import content
from pexecutor.web.api.metrics import MetricsAnswers

from ..conftest import EPOCH, RunHere, virtual_now
from ..fakes import Gate


def every(ms: int = 60_000, name: str = "task", **fields: Any) -> ScheduleDeclaration:
    return ScheduleDeclaration(Task(name, **fields), every=ms)


def events_of(reader: Reader) -> list[OccurrenceSkipped]:
    return [event.what for event in reader.receive_nowait(1000) if isinstance(event.what, OccurrenceSkipped)]


async def test_each_skip_counts_and_the_first_is_an_event_and_a_log_line(
    run_here: RunHere, autojump_clock: MockClock
) -> None:
    executor = await run_here(handler=Gate(), on_skip=log_skip)
    with executor.events.reading() as reader, capture_logs() as logs:
        await executor.schedules.put("s", every())
        await trio.sleep(200)
        [holder] = (await executor.schedules.get("s")).occurrences[1:]
        skips = [OccurrenceSkipped("s", EPOCH + 120, "held", holder.task_id)]  # type: ignore[union-attr]
        assert events_of(reader) == skips
        await executor.schedules.pause("s", paused=True)
        await trio.sleep(120)
        assert events_of(reader) == [OccurrenceSkipped("s", EPOCH + 240, "paused")]
    statistics = executor.statistics()
    assert statistics.occurrences == {"s": {"fired": 1, "held": 2, "paused": 2}}
    assert (statistics.submitted, statistics.duplicates) == (1, 2)
    facts = {"event": "skipped", "log_level": "warning", "schedule": "s"}
    assert logs == [
        {**facts, "reason": "held", "holder": skips[0].holder_id, "scheduled_for": "2027-01-15T08:02:00.000Z"},
        {**facts, "reason": "paused", "scheduled_for": "2027-01-15T08:04:00.000Z"},
    ]


async def test_the_metric_has_the_counts(run_here: RunHere, autojump_clock: MockClock) -> None:
    executor = await run_here(handler=Gate())
    await executor.schedules.put("s", every())
    await trio.sleep(200)
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for metric in MetricsAnswers(executor).registry.collect()
        for sample in metric.samples
        if sample.name in ("pexecutor_occurrences_total", "pexecutor_schedules")
    }
    assert samples == {
        ("pexecutor_occurrences_total", "s", "fired"): 1,
        ("pexecutor_occurrences_total", "s", "held"): 2,
        ("pexecutor_schedules",): 1,
    }


def test_the_event_on_the_wire() -> None:
    kind, data = content(OccurrenceSkipped("nightly", EPOCH, "held", "a3f09c-1"))
    assert kind == b"skipped"
    assert json.loads(data) == {
        "schedule": "nightly",
        "at": "2027-01-15T08:00:00.000Z",
        "reason": "held",
        "holder_id": "a3f09c-1",
    }


def test_the_number_of_labels_is_bounded() -> None:
    counts = OccurrenceCounts()
    for number in range(SCHEDULES_COUNTED_MAX + 50):
        counts.count_fired(f"s{number}")
        counts.count_skipped(f"s{number}", Skipped(0.0, 0.0, "full"))
    by_schedule = counts.by_schedule()
    assert len(by_schedule) == SCHEDULES_COUNTED_MAX + 1
    assert by_schedule[OTHERS] == {"fired": 50, "full": 50}
    assert by_schedule["s0"] == {"fired": 1, "full": 1}
    counts.forget("s0")
    counts.forget("s0")
    counts.count_fired("new")
    assert counts.by_schedule()["new"] == {"fired": 1}
    assert counts.by_schedule()[OTHERS] == {"fired": 51, "full": 51}


async def test_a_removed_schedule_gives_its_label_up(run_here: RunHere, autojump_clock: MockClock) -> None:
    executor = await run_here()
    await executor.schedules.put("s", every())
    await executor.schedules.run_now("s")
    await executor.schedules.remove("s")
    assert executor.statistics().occurrences == {OTHERS: {"fired": 1}}


# The next times that are shown


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Count the times that are computed."""
    computed: list[float] = []

    def next_time(name: str, definition: Definition, after: float) -> NextTime | None:
        computed.append(after)
        return next_time_of(name, definition, after)

    with monkeypatch.context() as patch:
        patch.setattr("pexecutor.schedules.next_times.next_time", next_time)
        yield computed


async def test_the_next_times_are_computed_once_for_a_generation(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor, shown = Executor(LocalStore(now=virtual_now)), NextTimes()
    schedule = (await executor.schedules.put("s", every())).schedule
    with counted(monkeypatch) as computed:
        times = [time.at - EPOCH for time in shown.of(schedule)]
        assert times == [60, 120, 180, 240, 300]
        assert len(computed) == 4
        assert [time.at - EPOCH for time in shown.of(schedule)] == times
        assert len(computed) == 4
        later = _with_next(schedule, 180)
        assert [time.at - EPOCH for time in shown.of(later)] == [180, 240, 300, 360, 420]
        assert len(computed) == 6
        earlier = _with_next(schedule, 60)
        assert [time.at - EPOCH for time in shown.of(earlier)] == times
    assert shown.of(_with_next(schedule, None)) == []


def _with_next(schedule: Schedule, seconds: float | None) -> Schedule:
    at = None if seconds is None else NextTime(EPOCH + seconds, EPOCH + seconds)
    return msgspec.structs.replace(schedule, next=at)


def test_a_zone_that_is_gone_hides_no_schedule() -> None:
    definition = Definition(Task("t"), cron="0 3 * * *", timezone="Nowhere/Town")
    schedule = Schedule("s", definition, 1, NextTime(EPOCH, EPOCH))
    assert NextTimes().of(schedule) == [NextTime(EPOCH, EPOCH)]


def test_the_number_of_remembered_schedules_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pexecutor.schedules.next_times.REMEMBERED_MAX", 2)
    shown = NextTimes()
    schedules = [
        Schedule("s", Definition(Task("t"), cron="0 3 * * *"), generation, NextTime(EPOCH, EPOCH))
        for generation in (1, 2, 3)
    ]
    for schedule in schedules:
        shown.of(schedule)
    with counted(monkeypatch) as computed:
        shown.of(schedules[2])
        shown.of(schedules[1])
        assert not computed
        shown.of(schedules[0])
        assert len(computed) == 4
