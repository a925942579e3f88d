"""The metrics for Prometheus, read with the library's own parsers of both formats."""

from __future__ import annotations

import re

import httpx2
import pytest
import trio
from prometheus_client import REGISTRY
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from pexecutor import Executor, LocalStore, Task
from pexecutor.config import Config
from pexecutor.schedules.declaration import ScheduleDeclaration
from pexecutor.web import create_app

from ...fakes import Doing, FakeJournal, Gate
from ..conftest import Served, ServeHere

OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}


async def scrape(served: Served) -> dict[tuple[str, ...], float]:
    """Return the value of each sample, by its name and the values of its labels, ordered by label name."""
    reply = await served.client.get("/metrics")
    assert reply.status_code == 200
    families = parse_text(reply.text)
    return {(sample.name, *sample.labels.values()): sample.value for family in families for sample in family.samples}


async def families(client: httpx2.AsyncClient) -> list[Metric]:
    """Return all metrics, parsed by the strict rules of the newer format."""
    reply = await client.get("/metrics", headers=OPENMETRICS)
    assert reply.headers["content-type"].startswith("application/openmetrics-text")
    return list(parse_openmetrics(reply.text))  # type: ignore[no-untyped-call]


async def test_submits_are_counted_by_what_became_of_them(full: Served) -> None:
    await full.client.post("/tasks", json=[{"name": "p0"}, {"name": "r"}, {"name": "new"}])

    metrics = await scrape(full)

    assert metrics["pexecutor_tasks_submitted_total", "sleep"] == 3
    assert metrics["pexecutor_tasks_duplicate_total", "sleep"] == 2
    assert metrics["pexecutor_tasks_rejected_total", "sleep"] == 1
    assert metrics["pexecutor_attempts_started_total", "sleep"] == 1


async def test_what_is_in_flight_is_shown_beside_its_bounds(full: Served) -> None:
    metrics = await scrape(full)

    assert metrics["pexecutor_tasks_in_flight", "running"] == metrics["pexecutor_workers_busy",] == 1
    assert metrics["pexecutor_workers",] == 1
    assert metrics["pexecutor_tasks_in_flight", "pending"] == metrics["pexecutor_queue_size",] == 2
    assert metrics["pexecutor_tasks_in_flight", "scheduled"] == 0
    assert metrics["pexecutor_store_up",] == 1


async def test_those_who_wait_for_room_are_seen(full: Served, nursery: trio.Nursery) -> None:
    async def wait() -> None:
        await full.client.post("/tasks?wait_for_room=60", json={"name": "patient"})

    nursery.start_soon(wait)
    await full.until(lambda now: now.waiting_for_room == 1)

    assert (await scrape(full))["pexecutor_submits_waiting",] == 1


async def test_a_drain_is_seen(full: Served) -> None:
    before = await scrape(full)

    await full.client.post("/drain")

    assert (before["pexecutor_draining",], (await scrape(full))["pexecutor_draining",]) == (0, 1)


async def test_endings_are_counted_by_outcome_whoever_ended_the_task(full: Served, gate: Gate) -> None:
    [waiting, _] = await full.listing("/tasks/pending")
    await full.client.delete(f"/tasks/{waiting['id']}")
    await full.client.post("/tasks", json={"name": "p1", "on_conflict": "supersede"})
    gate.open()
    await full.until(lambda now: now.store.finished.get("succeeded") == 2)  # type: ignore[call-overload]

    metrics = await scrape(full)

    assert metrics["pexecutor_tasks_finished_total", "sleep", "succeeded"] == 2
    assert metrics["pexecutor_tasks_finished_total", "sleep", "cancelled"] == 2
    assert metrics["pexecutor_tasks_finished_total", "sleep", "failed"] == 0


async def test_the_time_of_attempts_is_counted_by_outcome_and_that_in_the_queue_once_a_task(
    serve_here: ServeHere,
) -> None:
    async def work(*_: object) -> None:
        raise OSError("no luck")

    served = await serve_here(handler=Doing(work))
    await served.client.post("/tasks", json={"name": "x", "retries": 2, "retry_delay": 1})
    await served.until(lambda now: now.store.history == 1)

    metrics = await scrape(served)

    assert metrics["pexecutor_task_queue_seconds_count", "sleep"] == 1
    assert metrics["pexecutor_attempt_seconds_count", "sleep", "failed"] == 3
    assert metrics["pexecutor_attempts_retried_total", "sleep"] == 2
    assert metrics["pexecutor_tasks_finished_total", "sleep", "failed"] == 1
    assert metrics["pexecutor_attempt_seconds_bucket", "sleep", "+Inf", "failed"] == 3


async def test_commits_are_timed(nursery: trio.Nursery) -> None:
    executor = Executor(LocalStore(journal=FakeJournal()))
    await nursery.start(executor.run)
    client = create_app(executor, Config()).test_client()
    await client.post("/tasks", json={"name": "x"})

    text = await (await client.get("/metrics")).get_data(as_text=True)

    assert re.search(r"^pexecutor_store_commit_seconds_count [1-9]", text, re.MULTILINE)
    executor.drain()


async def test_every_metric_keeps_the_rules_of_its_format(full: Served, gate: Gate) -> None:
    await full.executor.schedules.put("hourly", ScheduleDeclaration(Task("r"), every=3_600_000))
    await full.executor.limits.store.set_numbers({"api": 5}, {})
    gate.open()
    await full.until(lambda now: now.store.history == 3)
    assert (await full.client.post("/schedules/hourly/run")).status_code == 202
    ours = [family for family in await families(full.client) if not family.name.startswith("process_")]

    assert len(ours) > 10
    for family in ours:
        assert re.fullmatch(r"pexecutor_[a-z]+(_[a-z]+)*", family.name)
        assert family.documentation.endswith("."), family.name
        assert family.name.endswith("_seconds") == (family.type == "histogram"), "what is timed is in base units"
        assert family.unit == ("seconds" if family.type == "histogram" else "")
        assert family.samples, family.name
        for sample in family.samples:
            assert set(sample.labels) <= {"handler", "outcome", "state", "le", "schedule", "target", "result", "limit"}
            assert sample.name.endswith("_total") == (family.type == "counter")


async def test_the_buckets_of_a_histogram_add_up(full: Served) -> None:
    metrics = await scrape(full)
    buckets = [value for name, value in metrics.items() if name[:2] == ("pexecutor_task_queue_seconds_bucket", "sleep")]

    assert buckets == sorted(buckets)
    assert buckets[-1] == metrics["pexecutor_task_queue_seconds_count", "sleep"] == 1


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        (
            "application/openmetrics-text; version=1.0.0, text/plain; q=0.5",
            "application/openmetrics-text; version=1.0.0",
        ),
        ("image/png", "text/plain; version=0.0.4; charset=utf-8"),
    ],
)
async def test_the_format_is_negotiated(served: Served, accept: str, content_type: str) -> None:
    reply = await served.client.get("/metrics", headers={"Accept": accept})

    assert reply.headers["content-type"].startswith(content_type)


async def test_two_executors_of_a_process_keep_to_themselves(serve_here: ServeHere) -> None:
    first, second = await serve_here(), await serve_here()
    await first.client.post("/tasks", json={"name": "x"})

    assert (await scrape(first))["pexecutor_tasks_submitted_total", "sleep"] == 1
    assert (await scrape(second))["pexecutor_tasks_submitted_total", "sleep"] == 0
    assert not [family.name for family in REGISTRY.collect() if family.name.startswith("pexecutor")]
