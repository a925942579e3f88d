"""``GET /metrics``: what Prometheus asks.

Everything is read when it is asked for, from the executor's one snapshot and its histograms. Nothing is counted here,
so a metric cannot differ from what other observers see. The registry is an app's own, never the library's global one:
two executors in a process do not meet in it.

Labels are ``handler``, ``outcome`` and ``state``, all of them bounded by what the operator has declared; a task's name
is never one.
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
from quart import Response
from quart_trio import QuartTrio

from ...core.executor import Executor
from ...core.statistics import Phase, Statistics, Timings
from ...observe.histogram import Histogram
from ...process.streams import dropped_lines
from ...stores import StoreStatistics
from ...task import Outcome
from ..serving.quart_app import current_request

COUNTS: Final = {
    "tasks_submitted": ("submitted", "Tasks that were accepted, or have joined one that was."),
    "tasks_duplicate": ("duplicates", "Tasks that were refused because their name was held."),
    "tasks_rejected": ("rejected", "Tasks that were refused for lack of room, or because of a drain."),
    "attempts_started": ("started", "Attempts that have begun."),
    "attempts_retried": ("retried", "Attempts after which the task is tried again."),
    "attempts_released": ("released", "Attempts that the stop cut off; their tasks are pending again."),
}
"""Counters by handler: the metric, the member of ``Counts``, and what it is."""


class MetricsRoutes:
    """The route that Prometheus scrapes.

    Parameters:
        executor: what the metrics are of.
    """

    def __init__(self, executor: Executor) -> None:
        self.registry: CollectorRegistry = CollectorRegistry()
        self.registry.register(_ExecutorCollector(executor))
        ProcessCollector(registry=self.registry)

    def add_to(self, app: QuartTrio) -> None:
        """Register it."""
        app.add_url_rule("/metrics", view_func=self.metrics, methods=["GET"])

    async def metrics(self) -> Response:
        """All metrics, in the text format or in OpenMetrics, as the Accept header asks."""
        encode, content_type = _encoder(current_request().headers.get("Accept", ""))
        return Response(encode(self.registry), content_type=content_type)


def _encoder(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    """Return what writes the format that an ``Accept`` header asks for, and that format's media type."""
    try:
        return choose_encoder(accept)
    except (ValueError, TypeError):  # the library compares the parts of a version, and they need not be numbers
        return choose_encoder("")


class _ExecutorCollector(Collector):
    """An executor as metrics."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def collect(self) -> Iterator[Metric]:
        statistics = self._executor.statistics()
        yield from _counters(statistics)
        yield from _gauges(statistics)
        yield from _store_gauges(statistics.store)
        yield CounterMetricFamily(
            "pexecutor_output_lines_dropped",
            "Lines of standard output and standard error that could not be written.",
            value=float(dropped_lines()),
        )
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


def _gauges(statistics: Statistics) -> Iterator[Metric]:
    draining = statistics.phase in (Phase.DRAINING, Phase.STOPPED)
    yield _gauge("workers", "Tasks that can run at once.", statistics.pool_size)
    yield _gauge("workers_busy", "Workers that have a task.", statistics.busy)
    yield _gauge("submits_waiting", "Submits that wait for room in the queue.", statistics.waiting_for_room)
    yield _gauge("draining", "Whether the stop has begun, and no task is taken any more.", draining)


def _store_gauges(store: StoreStatistics) -> Iterator[Metric]:
    states = {"scheduled": store.scheduled, "pending": store.pending, "running": store.running}
    in_flight = GaugeMetricFamily("pexecutor_tasks_in_flight", "Tasks that hold their name.", labels=["state"])
    for state, count in states.items():
        in_flight.add_metric([state], count)
    yield in_flight
    yield _gauge("queue_size", "Tasks that may wait, pending or scheduled.", store.queue_size)
    yield _gauge("history_tasks", "Finished tasks that can be read.", store.history)
    yield _gauge("store_up", "Whether the store takes changes.", store.trouble is None)
    yield _gauge("store_damaged", "Entries that were found damaged, and set aside or repaired.", store.damaged)


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(f"pexecutor_{name}", documentation, value=float(value))


def _histograms(timings: Timings) -> Iterator[Metric]:
    queued = HistogramMetricFamily(
        "pexecutor_task_queue_seconds",
        "From when a task was accepted, or was due if that is later, to its first start.",
        labels=["handler"],
        unit="seconds",
    )
    for handler, histogram in timings.queued.items():
        queued.add_metric([handler], _buckets(histogram), histogram.sum)
    yield queued
    attempts = HistogramMetricFamily(
        "pexecutor_attempt_seconds",
        "From the start of an attempt to its end.",
        labels=["handler", "outcome"],
        unit="seconds",
    )
    for (handler, outcome), histogram in timings.attempts.items():
        attempts.add_metric([handler, outcome], _buckets(histogram), histogram.sum)
    yield attempts
    commits = timings.commits
    yield HistogramMetricFamily(
        "pexecutor_store_commit_seconds", "Until a change was durable.", _buckets(commits), commits.sum, unit="seconds"
    )


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """Each bound and how many were at or below it, as the format wants them."""
    bounds = map(floatToGoString, (*histogram.bounds, math.inf))
    return list(zip(bounds, accumulate(histogram.counts), strict=True))
