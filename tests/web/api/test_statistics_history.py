"""Tests of ``GET /statistics/history``, the data for the charts."""

from __future__ import annotations

import pytest

from ..conftest import Served


async def test_nothing_has_happened(served: Served) -> None:
    reply = await served.client.get("/statistics/history")

    assert (reply.status_code, reply.json()) == (200, {"interval_seconds": 15, "intervals": []})


async def test_what_has_gone_through_is_told_by_interval(served: Served) -> None:
    await served.client.post("/tasks", json=[{"name": "a"}, {"name": "b", "duration": 30}])
    await served.until(lambda now: now.store.history == 2)

    intervals = (await served.client.get("/statistics/history")).json()["intervals"]

    assert sum(interval["started"] for interval in intervals) == 2
    assert sum(interval["finished"].get("succeeded", 0) for interval in intervals) == 2
    assert intervals[-1]["begins_at"].endswith("Z")
    assert 0.02 < intervals[-1]["run_seconds"]["p95"] < 5
    assert intervals[0]["queue_seconds"].keys() == {"p50", "p95"}


async def test_a_day_is_told_in_long_intervals(served: Served) -> None:
    await served.client.post("/tasks", json=[{"name": "a"}, {"name": "b"}])
    await served.until(lambda now: now.store.history == 2)

    reply = (await served.client.get("/statistics/history?hours=24")).json()

    assert reply["interval_seconds"] == 300
    assert sum(interval["finished"].get("succeeded", 0) for interval in reply["intervals"]) == 2


@pytest.mark.parametrize("hours", ["0", "-1", "24.5", "nan", "x"])
async def test_hours_out_of_range_are_refused(served: Served, hours: str) -> None:
    reply = await served.client.get(f"/statistics/history?hours={hours}")

    assert reply.status_code == 400
    assert "`hours`" in reply.json()["detail"]
