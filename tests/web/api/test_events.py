"""Tests of ``GET /events`` over a real socket: events, resuming, filters, limits, and the end of a stream."""

from __future__ import annotations

from functools import partial

import pytest
import trio

from pexecutor import Task
from pexecutor.handlers import Context
from pexecutor.observe.events import Feed, OccurrenceSkipped
from pexecutor.web.api import events

from ...conftest import EPOCH
from ...fakes import Doing, Gate
from ..conftest import Served, ServeHere
from ..events import reading
from ..raw import connected, request
from ..replies import problem_in


async def test_each_change_is_told_as_a_listing_shows_it(serve_here: ServeHere) -> None:
    gate = Gate()
    served = await serve_here(handler=gate, pool_size=1)
    async with reading(served) as reader:
        assert reader.head.headers["content-type"] == "text/event-stream"
        assert reader.head.headers["cache-control"] == "no-store"
        await served.client.post("/tasks", json={"name": "a"})
        pending, running = await reader.next(), await reader.next()
        assert (pending.event, pending.data["state"]) == ("task", "pending")
        assert running.data == (await served.listing("/tasks/running"))[0]
        assert running.id == pending.id + 1
        gate.open()
        assert (await reader.next()).data == (await served.listing("/tasks/finished"))[0]


async def test_a_reader_who_comes_back_misses_nothing(serve_here: ServeHere) -> None:
    served = await serve_here(handler=Gate())
    async with reading(served) as reader:
        last = reader.place
    await served.client.post("/tasks", json={"name": "a"})
    async with reading(served, last=str(last)) as reader:
        assert await reader.tasks(2) == [("a", "pending"), ("a", "running")]
        last = reader.place
    async with reading(served, last=str(last)) as reader:
        await served.client.post("/tasks", json={"name": "b"})
        assert await reader.tasks(1) == [("b", "pending")]


@pytest.mark.parametrize("last", ["0", "12", "9" * 30, "-5", "x", ""])
async def test_a_place_that_is_not_known_is_a_gap(served: Served, last: str) -> None:
    async with reading(served, last=last) as reader:
        message = await reader.next()
        assert (message.event, message.data) == ("gap", {})
        await served.client.post("/tasks", json={"name": "a"})
        assert await reader.tasks(1) == [("a", "pending")]


async def test_a_slow_reader_gets_a_gap_and_then_what_happens(
    serve_here: ServeHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pexecutor.core.executor.Feed", partial(Feed, events_max=4))
    served = await serve_here(handler=Gate(), pool_size=1)
    async with reading(served, "/events?name=late") as reader:
        await served.client.post("/tasks", json=[{"name": f"{number}"} for number in range(9)])
        assert (await reader.next()).event == "gap"
        await served.client.post("/tasks", json={"name": "late"})
        assert await reader.tasks(1) == [("late", "pending")]


async def test_filters_by_name_and_by_state(serve_here: ServeHere) -> None:
    served = await serve_here(handler=Gate(), pool_size=1)
    async with (
        reading(served, "/events?name=b") as named,
        reading(served, "/events?state=running") as running,
        reading(served, "/events?name=b&state=finished") as both,
    ):
        await served.client.post("/tasks", json=[{"name": "a"}, {"name": "b"}])
        assert await named.tasks(1) == [("b", "pending")]
        assert await running.tasks(1) == [("a", "running")]
        [record] = await served.listing("/tasks?name=b")
        await served.client.delete(f"/tasks/{record['id']}")
        assert await both.tasks(1) == [("b", "finished")]


@pytest.mark.parametrize("query", ["state=done", "x=1", "name=a&name=b"])
async def test_a_filter_that_makes_no_sense_is_refused(served: Served, query: str) -> None:
    problem_in(await served.client.get(f"/events?{query}"), 400)


async def test_progress_is_told(serve_here: ServeHere) -> None:
    go_on = trio.Event()

    async def work(context: Context, task: Task) -> None:
        context.progress(3, 10)
        await go_on.wait()
        context.progress(4)
        await trio.sleep_forever()

    served = await serve_here(handler=Doing(work))
    async with reading(served, "/events?name=a&state=running") as reader:
        await served.client.post("/tasks", json={"name": "a"})
        task, told = await reader.next(), await reader.next()
        assert told.event == "progress"
        assert told.data == {"id": task.data["id"], "name": "a", "progress": {"done": 3, "total": 10}}
        go_on.set()
        assert (await reader.next()).data["progress"] == {"done": 4, "total": 10}


async def test_a_skipped_occurrence_is_sent_to_streams_without_a_filter(served: Served) -> None:
    skipped = OccurrenceSkipped("nightly", EPOCH, "held", "a3f09c-1")
    async with reading(served) as every, reading(served, "/events?name=a") as filtered:
        served.executor.events.put(skipped)
        await served.client.post("/tasks", json={"name": "a"})
        message = await every.next()
        assert message.event == "skipped"
        assert message.data == {
            "schedule": "nightly",
            "at": "2027-01-15T08:00:00.000Z",
            "reason": "held",
            "holder_id": "a3f09c-1",
        }
        assert (await filtered.next()).event == "task"


async def test_the_drain_is_told_and_ends_the_stream(full: Served) -> None:
    async with reading(full, "/events?name=nobody") as reader:
        await full.client.post("/drain")
        assert (await reader.next()).event == "drain"
        full.executor.hard_stop()
        with pytest.raises(EOFError):
            await reader.next()


async def test_a_heartbeat_shows_that_the_stream_lives(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_SECONDS", 0.02)
    async with reading(served) as reader:
        await trio.sleep(0.05)
        await served.client.post("/tasks", json={"name": "a"})
        await reader.next()
    assert reader.comments >= 1


async def test_there_are_so_many_streams_and_no_more(serve_here: ServeHere) -> None:
    served = await serve_here(event_streams_max=2)
    async with reading(served), reading(served):
        problem = problem_in(await served.client.get("/events"), 503)
        assert "event streams" in problem["detail"]
        assert (await served.client.get("/livez")).status_code == 200
    with trio.fail_after(5):
        while not await opens(served):  # noqa: ASYNC110  (the server notices the disconnects later)
            await trio.sleep(0.01)


async def opens(served: Served) -> bool:
    async with connected(served.port) as client:
        await client.send(request("GET /events"))
        return (await client.head()).status_code == 200


async def test_a_head_of_the_stream_is_no_stream(served: Served) -> None:
    for _ in range(3):
        reply = await served.client.head("/events")
        assert (reply.status_code, reply.headers["content-type"]) == (200, "text/event-stream")


async def test_a_reader_who_stalls_costs_no_memory_and_hinders_nobody(serve_here: ServeHere) -> None:
    served = await serve_here(queue_size=100_000, handler=Gate())
    async with connected(served.port) as stalled:
        await stalled.send(request("GET /events"))
        for batch in range(10):
            tasks = [{"name": f"{batch}-{number}-{'x' * 200}"} for number in range(2000)]
            assert (await served.client.post("/tasks?verdicts=none", json=tasks)).json()["SubmittedTasks"] == 2000
        async with reading(served) as reader:
            await served.client.post("/tasks", json={"name": "after"})
            assert await reader.tasks(1) == [("after", "pending")]
