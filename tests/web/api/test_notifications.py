"""Notifications over HTTP: the ones that wait, their metric, and the handlers that are reserved for them."""

from __future__ import annotations

from typing import Any, Final

import pytest
import trio

from pexecutor import ConfigError, LocalStore, Task
from pexecutor.handlers import BUILT_IN, Catalogue, Context, HandlerFailedError

from ...fakes import Doing
from ..conftest import Served, ServeHere
from ..replies import problem_in
from .test_paging import Pages

UNREACHABLE: Final = "http://127.0.0.1:1/in"


async def fail(context: Context, task: Task) -> None:
    await trio.lowlevel.checkpoint()
    raise HandlerFailedError("broken", retryable=False)


@pytest.fixture
async def alerting(serve_here: ServeHere) -> Served:
    """A server whose tasks fail, with a receiver that is down, and one that is refused for its address."""
    tables = {"ops": {"url": UNREACHABLE, "allow_private": True}, "night": {"url": UNREACHABLE, "names": ["n*"]}}
    served = await serve_here(handler=Doing(fail), notify=tables, store=LocalStore())
    await served.client.post("/tasks", json=[{"name": name} for name in ("a", "b", "c", "night")])
    await served.until(lambda now: now.store.deliveries == 5 and sum(of["retried"] for of in tried(now)) == 5)
    return served


def tried(statistics: Any) -> list[dict[str, int]]:
    return [{"retried": 0} | results for results in statistics.notifications.values()]


async def test_waiting_notifications_are_listed_like_tasks(alerting: Served) -> None:
    [row] = await alerting.listing("/tasks?handler=notify:night")

    times = {key: row.pop(key) for key in ("id", "submitted_at", "due_at")}
    assert row == {"name": "night", "state": "scheduled", "duration": 0, "handler": "notify:night", "priority": 0}
    assert times["due_at"] > times["submitted_at"]
    assert sorted(await alerting.names("/tasks?handler=notify:ops")) == ["a", "b", "c", "night"]


async def test_a_notification_is_no_task(alerting: Served) -> None:
    [row] = await alerting.listing("/tasks?handler=notify:night")

    assert {record["handler"] for record in await alerting.listing()} == {"sleep"}
    assert (await alerting.client.get(f"/tasks/{row['id']}")).status_code in (404, 410)
    assert (await alerting.client.delete(f"/tasks/{row['id']}")).status_code in (404, 410)
    assert alerting.executor.statistics().store.pending == 0


async def test_notifications_have_pages(alerting: Served) -> None:
    pages = [page async for page in Pages(alerting, "/tasks?handler=notify:ops&limit=3")]

    assert list(map(len, pages)) == [3, 1]
    assert sorted(row["name"] for page in pages for row in page) == ["a", "b", "c", "night"]


async def test_an_unknown_target_has_no_notifications(served: Served) -> None:
    assert await served.listing("/tasks?handler=notify:removed") == []


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("handler=", "`handler`"),
        ("handler=notify:", "`handler` names no target: write, for example, handler=notify:ops"),
        (
            "handler=notify:ops&state=pending",
            "notifications can be listed by `handler` alone: remove the other filters",
        ),
        ("handler=notify:ops&tag=a&tag=b", "notifications can be listed by `handler` alone"),
        ("handler=notify:ops&cursor=x", "cursor"),
    ],
)
async def test_what_cannot_be_listed_is_refused(served: Served, query: str, detail: str) -> None:
    reply = await served.client.get(f"/tasks?{query}")

    assert detail in problem_in(reply, 400)["detail"]


async def test_no_task_can_have_the_handler_of_notifications(served: Served) -> None:
    reply = await served.client.post("/tasks", json={"name": "a", "handler": "notify:ops"})

    [error] = problem_in(reply, 400)["errors"]
    assert error["field"] == "handler"
    assert "is for notifications, not for tasks" in error["detail"]


def test_no_handler_can_be_declared_with_the_name_of_notifications() -> None:
    with pytest.raises(ConfigError, match=r"`notify:ops` needs another name: `notify:` is for notifications"):
        Catalogue({"notify:ops": BUILT_IN["sleep"]})


async def test_the_metrics_count_results_and_what_waits(alerting: Served) -> None:
    text = (await alerting.client.get("/metrics")).text

    assert 'pexecutor_notifications_total{result="retried",target="ops"} 4.0' in text
    assert 'pexecutor_notifications_total{result="retried",target="night"} 1.0' in text
    assert "pexecutor_notifications_waiting 5.0" in text
