"""Schedules over HTTP."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import httpx2
import msgspec
import pytest

from pexecutor import LocalStore
from pexecutor.schedules.declaration import ScheduleDeclaration
from pexecutor.stores.schedules import Schedule, ScheduleBounds
from pexecutor.task import Task

from ...fakes import Gate
from ..conftest import Served, ServeHere

NIGHTLY: dict[str, Any] = {"cron": "0 3 * * *", "timezone": "Europe/Berlin", "task": {"name": "dump", "duration": 5}}


async def put(served: Served, name: str = "nightly", content: Any = NIGHTLY) -> httpx2.Response:
    return await served.client.put(f"/schedules/{name}", json=content)


async def test_a_new_schedule_is_shown_with_its_times(served: Served) -> None:
    reply = await put(served)
    shown = await served.client.get("/schedules/nightly")

    assert (reply.status_code, reply.headers["Location"]) == (201, "/schedules/nightly")
    assert shown.json() == reply.json()
    schedule = shown.json()
    times = schedule.pop("next")
    assert schedule == {
        "name": "nightly",
        "cron": "0 3 * * *",
        "timezone": "Europe/Berlin",
        "task": {"name": "dump", "duration": 5},
        "jitter": 0,
        "catch_up": "one",
        "late_max": None,
        "paused": False,
        "owner": "api",
        "occurrences": [],
    }
    assert len(times) == 5
    assert {time[11:] for time in times} <= {"01:00:00.000Z", "02:00:00.000Z"}


async def test_an_interval_shows_its_start(served: Served) -> None:
    start = "2999-01-01T00:00:00.000Z"
    content = {"every": 60_000, "start_at": start, "until": "2999-01-01T02:02:00+02:00", "task": {"name": "t"}}
    schedule = (await put(served, content=content)).json()

    assert schedule["start_at"] == start
    assert schedule["until"] == "2999-01-01T00:02:00.000Z"
    assert [time[11:19] for time in schedule["next"]] == ["00:00:00", "00:01:00", "00:02:00"]
    assert "cron" not in schedule


async def test_an_equal_schedule_is_200_and_unchanged(served: Served) -> None:
    await put(served)
    assert (await put(served)).status_code == 200
    replaced = await put(served, content={**NIGHTLY, "cron": "0 4 * * *"})
    assert (replaced.status_code, replaced.json()["cron"]) == (200, "0 4 * * *")


@pytest.mark.parametrize(
    ("content", "field", "detail"),
    [
        ({**NIGHTLY, "cron": "0 25 * * *"}, "cron", 'for example "0 3 * * *"'),
        ({**NIGHTLY, "cron": "@daily"}, "cron", 'write "0 0 * * *" instead'),
        ({**NIGHTLY, "timezone": "Berlin"}, "timezone", "such as"),
        ({"cron": "0 3 * * *"}, "task", "`task` is required"),
        ({**NIGHTLY, "task": {"name": "dump", "handler": "dmp"}}, "task.handler", "unknown handler `dmp`"),
        ({**NIGHTLY, "task": {"nam": "dump"}}, "task.nam", "unknown field `task.nam`"),
        ({**NIGHTLY, "task": {}}, "task.name", "`task.name` is required"),
        ({**NIGHTLY, "chron": 1}, "chron", "did you mean `cron`"),
        ({"task": {"name": "t"}}, None, "a schedule: give either `cron` or `every`, for example"),
        ({"every": 10, "task": {"name": "t"}}, "every", "1000"),
        ({"every": 1000, "start_at": "now", "task": {"name": "t"}}, "start_at", "such as 2030-01-31T08:00:00Z"),
        ({**NIGHTLY, "until": "2030-01-01T00:00:00"}, "until", "with a time zone"),
        ({**NIGHTLY, "catch_up": "all"}, "catch_up", "the values are: "),
        ({**NIGHTLY, "paused": None}, "paused", "`bool`"),
        ([NIGHTLY], None, "schedule"),
    ],
)
async def test_an_invalid_schedule_is_400(served: Served, content: Any, field: str | None, detail: str) -> None:
    reply = await put(served, content=content)

    assert reply.status_code == 400
    [error] = reply.json()["errors"]
    assert error["field"] == field
    assert detail in error["detail"]
    assert detail in reply.json()["detail"]
    assert await served.listing("/schedules") == []


async def test_an_invalid_body_is_refused(served: Served) -> None:
    twice = b'{"cron": "0 3 * * *", "cron": "0 4 * * *", "task": {"name": "t"}}'
    for content, kind, status in ((b"{", "application/json", 400), (b"{}", "text/plain", 415), (twice, None, 400)):
        headers = {"Content-Type": kind or "application/json"}
        reply = await served.client.put("/schedules/s", content=content, headers=headers)
        assert reply.status_code == status
        assert reply.headers["Content-Type"] == "application/problem+json"


async def test_what_does_not_exist_is_404(served: Served) -> None:
    client = served.client
    for reply in (
        await client.get("/schedules/s"),
        await client.patch("/schedules/s", json={"paused": True}),
        await client.delete("/schedules/s"),
        await client.post("/schedules/s/run"),
    ):
        assert (reply.status_code, reply.json()["detail"]) == (404, "no schedule has the name 's'")


async def test_methods_and_unknown_parameters_are_refused(served: Served) -> None:
    assert (await served.client.post("/schedules")).status_code == 405
    assert (await served.client.get("/schedules/s/run")).status_code == 405
    assert (await served.client.get("/schedules?page=2")).status_code == 400
    assert (await served.client.get("/schedules?limit=1001")).status_code == 400
    assert (await served.client.delete("/schedules/s?force=perhaps")).status_code == 400


async def test_a_pause_is_a_change(served: Served) -> None:
    await put(served)
    for paused in (True, True, False):
        reply = await served.client.patch("/schedules/nightly", json={"paused": paused})
        assert (reply.status_code, reply.json()["paused"]) == (200, paused)
    for content, field in (({"cron": "0 4 * * *"}, "cron"), ({}, "paused"), ({"paused": 1}, "paused")):
        reply = await served.client.patch("/schedules/nightly", json=content)
        assert (reply.status_code, reply.json()["errors"][0]["field"]) == (400, field)


async def test_a_schedule_is_removed(served: Served) -> None:
    await put(served)
    reply = await served.client.delete("/schedules/nightly")
    assert (reply.status_code, reply.content) == (204, b"")
    assert (await served.client.get("/schedules/nightly")).status_code == 404


async def test_a_schedule_of_the_settings_is_409(served: Served) -> None:
    await served.executor.schedules.put("s", ScheduleDeclaration(Task("t"), every=60_000), owner="file")
    for reply in (await put(served, "s"), await served.client.delete("/schedules/s")):
        assert reply.status_code == 409
        assert "change `[schedules.s]` there" in reply.json()["detail"]
    assert (await served.client.patch("/schedules/s", json={"paused": True})).json()["owner"] == "file"
    assert (await served.client.delete("/schedules/s?force=true")).status_code == 204


async def test_schedules_are_paged(served: Served) -> None:
    names = [f"s{number:02}" for number in range(12)]
    for name in names:
        await put(served, name)
    listed, path = [], "/schedules?limit=5"
    while path:
        reply = await served.client.get(path)
        listed.append([schedule["name"] for schedule in reply.json()])
        path = reply.links["next"]["url"] if "next" in reply.links else ""
    assert listed == [names[:5], names[5:10], names[10:]]
    assert len((await served.client.get("/schedules")).json()) == 12
    assert (await served.client.get("/schedules")).links == {}


async def test_a_page_is_bounded_in_bytes(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pexecutor.web.api.schedules.PAGE_BYTES_MAX", 500)
    for name in ("a", "b", "c"):
        await put(served, name)
    reply = await served.client.get("/schedules")
    assert [schedule["name"] for schedule in reply.json()] == ["a", "b"]
    rest = await served.client.get(reply.links["next"]["url"])
    assert [schedule["name"] for schedule in rest.json()] == ["c"]


@pytest.mark.parametrize("name", ["nightly dump", "ü", "a%b", "a+b", "a&b=c", "next?", "#1", "schedules", "run", "..."])
async def test_any_name_can_be_used(served: Served, name: str) -> None:
    reply = await put(served, quote(name, safe=""))
    assert (reply.status_code, reply.json()["name"]) == (201, name)
    assert (await served.client.get(reply.headers["Location"])).json()["name"] == name
    await put(served, "zz")
    first = await served.client.get("/schedules?limit=1")
    assert (await served.client.get(first.links["next"]["url"])).json()[0]["name"] == max(name, "zz")


async def test_a_name_with_a_slash_is_unknown(served: Served) -> None:
    assert (await put(served, "a%2Fb")).status_code == 404
    long = await put(served, "x" * 256)
    assert (long.status_code, long.json()["errors"][0]["field"]) == (400, "name")


async def test_more_schedules_than_the_bound_are_429(serve_here: ServeHere) -> None:
    served = await serve_here(store=LocalStore(schedule_bounds=ScheduleBounds(1)))
    await put(served, "a")
    reply = await put(served, "b")
    assert (reply.status_code, "schedules_max" in reply.json()["detail"]) == (429, True)


# Occurrences on request


async def test_a_run_is_answered_as_a_submit(full: Served) -> None:
    await put(full, "held", {"every": 60_000, "task": {"name": "r"}})
    await put(full, "full", {"every": 60_000, "task": {"name": "p2"}})

    held = await full.client.post("/schedules/held/run")
    assert (held.status_code, held.json()["holder"]["name"]) == (409, "r")
    refused = await full.client.post("/schedules/full/run")
    assert (refused.status_code, "Retry-After" in refused.headers) == (429, True)
    submitted = await full.client.post("/tasks", json={"name": "p2"})
    assert refused.json() == submitted.json()


async def test_a_run_is_an_occurrence(serve_here: ServeHere, gate: Gate) -> None:
    served = await serve_here(handler=gate)
    await put(served)
    before = (await served.client.get("/schedules/nightly")).json()
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    reply = await served.client.post("/schedules/nightly/run", headers={"traceparent": trace})
    after = (await served.client.get("/schedules/nightly")).json()

    task = reply.json()
    assert (reply.status_code, reply.headers["Location"]) == (202, f"/tasks/{task['id']}")
    assert (task["name"], task["duration"], task["traceparent"]) == ("dump", 5, trace)
    assert [occurrence["task_id"] for occurrence in after.pop("occurrences")] == [task["id"]]
    assert after == {key: value for key, value in before.items() if key != "occurrences"}


async def test_a_run_during_the_drain_is_503(serve_here: ServeHere, gate: Gate) -> None:
    served = await serve_here(handler=gate)
    await put(served)
    await served.client.post("/schedules/nightly/run")
    await served.until(lambda now: now.store.running == 1)
    served.executor.drain()
    reply = await served.client.post("/schedules/nightly/run")
    assert (reply.status_code, "Retry-After" in reply.headers) == (503, True)
    assert (await served.client.get("/schedules/nightly")).status_code == 200


async def test_a_run_of_a_handler_that_is_gone_is_400(served: Served) -> None:
    store = served.executor.clock.schedules
    stored = await served.executor.schedules.put("s", ScheduleDeclaration(Task("t"), every=60_000))
    task = Task("t", handler="gone")
    await store.put(_with_task(stored.schedule, task))
    reply = await served.client.post("/schedules/s/run")
    assert (reply.status_code, reply.json()["errors"][0]["field"]) == (400, "task.handler")


def _with_task(schedule: Schedule, task: Task) -> Schedule:
    definition = msgspec.structs.replace(schedule.definition, task=task)
    return msgspec.structs.replace(schedule, definition=definition)
