"""``GET /metrics``: metrics for Prometheus.

Each scrape reads the executor's one snapshot and its histograms. Nothing is counted here, so metrics cannot differ from
what other observers see. Each app has its own registry instead of the library's global one, so the metrics of two
executors in a process are not mixed.

The labels are ``handler``, ``limit``, ``outcome``, ``state``, ``schedule``, ``target`` and ``result``. The number of
their values is bounded, because the operator declares the handlers, limits and targets, outcomes, states and results
are fixed, and only the first schedules have a label of their own (see ``schedules/counts.py``). A task's name is never
a label.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from ...core.executor import Executor
from ...core.statistics import Phase, Statistics, Timings
from ...logs.files import LogStatistics
from ...observe.histogram import Histogram
from ...process.streams import dropped_lines
from ...stores import StoreStatistics
from ...task import Outcome
from .limit_wire import limit_uses
from .reply import Reply
from .request import IncomingRequest

COUNTS: Final = {
    "tasks_submitted": ("submitted", "Tasks that were accepted, or joined an accepted task."),
    "tasks_duplicate": ("duplicates", "Tasks that were refused because their name was held."),
    "tasks_rejected": ("rejected", "Tasks that were refused for lack of room, or because of a drain."),
    "attempts_started": ("started", "Attempts that have begun."),
    "attempts_retried": ("retried", "Attempts after which the task is tried again."),
    "attempts_released": ("released", "Attempts that the stop cut off; their tasks are pending again."),
}
"""Counters by handler: the metric's name, the member of ``Counts``, and the help text."""


class MetricsAnswers:
    """Answers the scrapes of Prometheus.

    Parameters:
        executor: the executor to report on.
    """

    def __init__(self, executor: Executor) -> None:
        self.registry: CollectorRegistry = CollectorRegistry()
        self.registry.register(_ExecutorCollector(executor))
        ProcessCollector(registry=self.registry)

    async def metrics(self, request: IncomingRequest) -> Reply:
        """Show all metrics, in the text format or in OpenMetrics, as the Accept header asks."""
        encode, content_type = _encoder(next(iter(request.header_values(b"accept")), ""))
        return Reply(encode(self.registry), content_type=content_type)


def _encoder(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    """Return the encoder of the format that an ``Accept`` header asks for, and that format's media type."""
    try:
        return choose_encoder(accept)
    except (ValueError, TypeError):  # the library compares versions as numbers, and fails at other text
        return choose_encoder("")


class _ExecutorCollector(Collector):
    """Collects the metrics of an executor."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def collect(self) -> Iterator[Metric]:
        statistics = self._executor.statistics()
        yield from _counters(statistics)
        yield from _gauges(statistics)
        yield from _store_gauges(statistics.store)
        yield from _limit_gauges(statistics)
        yield CounterMetricFamily(
            "pexecutor_output_lines_dropped",
            "Lines of standard output and standard error that could not be written.",
            value=float(dropped_lines()),
        )
        yield from _log_metrics(LogStatistics() if self._executor.logs is None else self._executor.logs.statistics())
        yield from _histograms(self._executor.timings())


def _counters(statistics: Statistics) -> Iterator[Metric]:
    for name, (member, documentation) in COUNTS.items():
        counter = CounterMetricFamily(f"pexecutor_{name}", documentation, labels=["handler"])
        for handler, counts in statistics.handlers.items():
            counter.add_metric([handler], getattr(counts, member))
        yield counter
    finished = CounterMetricFamily(
        "pexecutor_tasks_finished", "Tasks that have their outcome.", labels=["handler", "outcome"]
    )
    by_handler = statistics.store.finished_by_handler
    for handler in dict.fromkeys([*statistics.handlers, *by_handler]):
        for outcome in Outcome:
            finished.add_metric([handler, outcome], by_handler.get(handler, {}).get(outcome, 0))
    yield finished
    occurrences = CounterMetricFamily(
        "pexecutor_occurrences",
        "Occurrences of schedules that submitted their task (`fired`) or were skipped for a reason.",
        labels=["schedule", "result"],
    )
    for schedule, results in statistics.occurrences.items():
        for result, count in results.items():
            occurrences.add_metric([schedule, result], count)
    yield occurrences
    notifications = CounterMetricFamily(
        "pexecutor_notifications",
        "Results of notifications: `delivered`, `retried` (an attempt failed), `gone` (410), `expired` or `dropped`.",
        labels=["target", "result"],
    )
    for target, outcomes in statistics.notifications.items():
        for what, count in outcomes.items():
            notifications.add_metric([target, what], count)
    yield notifications


def _gauges(statistics: Statistics) -> Iterator[Metric]:
    draining = statistics.phase in (Phase.DRAINING, Phase.STOPPED)
    yield _gauge("workers", "Tasks that can run at once.", statistics.pool_size)
    yield _gauge("workers_busy", "Workers that run a task.", statistics.busy)
    yield _gauge("submits_waiting", "Submits that wait for room in the queue.", statistics.waiting_for_room)
    yield _gauge("draining", "Whether the stop has begun, so that no task is accepted.", draining)


def _store_gauges(store: StoreStatistics) -> Iterator[Metric]:
    states = {"scheduled": store.scheduled, "pending": store.pending, "running": store.running}
    in_flight = GaugeMetricFamily("pexecutor_tasks_in_flight", "Tasks that hold their name.", labels=["state"])
    for state, count in states.items():
        in_flight.add_metric([state], count)
    yield in_flight
    yield _gauge("queue_size", "Tasks that may wait, pending or scheduled.", store.queue_size)
    yield _gauge("history_tasks", "Finished tasks that can be read.", store.history)
    yield _gauge("schedules", "Schedules in the store.", store.schedules)
    yield _gauge("notifications_waiting", "Notifications that wait for their delivery.", store.deliveries)
    yield _gauge("store_up", "Whether the store accepts changes.", store.trouble is None)
    yield _gauge("store_damaged", "Damaged entries that were set aside or repaired.", store.damaged)


def _limit_gauges(statistics: Statistics) -> Iterator[Metric]:
    state = statistics.store.limits
    in_use = GaugeMetricFamily(
        "pexecutor_limit_slots_in_use", "Running tasks that a limit counts, of all its values.", labels=["limit"]
    )
    full = GaugeMetricFamily("pexecutor_limit_keys_full", "Values of a limit without a free slot.", labels=["limit"])
    for use in limit_uses(state):
        in_use.add_metric([use.which], use.slots_in_use)
        full.add_metric([use.which], use.keys_full)
    yield in_use
    yield full
    paused = {pause.handler for pause in state.pauses}
    yield _gauge("paused", "Whether everything is paused, so that no task starts.", None in paused)
    handlers = GaugeMetricFamily(
        "pexecutor_handler_paused",
        "Whether the handler is paused, so that its tasks do not start.",
        labels=["handler"],
    )
    for handler in statistics.handlers:
        handlers.add_metric([handler], float(handler in paused))
    yield handlers


def _log_metrics(logs: LogStatistics) -> Iterator[Metric]:
    yield _gauge("logs", "Logs of attempts that are kept in files.", logs.logs)
    yield _gauge("logs_bytes", "Size of the files of all logs.", logs.bytes)
    counts = {
        "trimmed": (logs.trimmed, "Logs that have lost their middle, because they were longer than `log_bytes_max`."),
        "removed": (logs.removed, "Logs that were deleted before their records, because of `logs_bytes_max`."),
        "given_up": (logs.given_up, "Logs of which only the end is kept, for lack of room or after a failed write."),
    }
    for name, (count, documentation) in counts.items():
        yield CounterMetricFamily(f"pexecutor_logs_{name}", documentation, value=float(count))


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(f"pexecutor_{name}", documentation, value=float(value))


def _histograms(timings: Timings) -> Iterator[Metric]:
    queued = HistogramMetricFamily(
        "pexecutor_task_queue_seconds",
        "Time from the acceptance of a task, or from its due time if that is later, to its first start.",
        labels=["handler"],
        unit="seconds",
    )
    for handler, histogram in timings.queued.items():
        queued.add_metric([handler], _buckets(histogram), histogram.sum)
    yield queued
    attempts = HistogramMetricFamily(
        "pexecutor_attempt_seconds",
        "Time from the start of an attempt to its end.",
        labels=["handler", "outcome"],
        unit="seconds",
    )
    for (handler, outcome), histogram in timings.attempts.items():
        attempts.add_metric([handler, outcome], _buckets(histogram), histogram.sum)
    yield attempts
    commits = timings.commits
    yield HistogramMetricFamily(
        "pexecutor_store_commit_seconds",
        "Time until a change was durable.",
        _buckets(commits),
        commits.sum,
        unit="seconds",
    )


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """Return each bound and the number of values at or below it, as the format demands."""
    bounds = map(floatToGoString, (*histogram.bounds, math.inf))
    return list(zip(bounds, accumulate(histogram.counts), strict=True))
