"""Query parameters: each is checked, and the one that is wrong is named."""

from __future__ import annotations

import pytest

from .conftest import Served
from .replies import problem_in

LISTINGS = ("/tasks", "/tasks/pending", "/tasks/running", "/tasks/finished")


@pytest.mark.parametrize("path", LISTINGS)
@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=-1", "limit"),
        ("limit=x", "limit"),
        ("limit=1.5", "limit"),
        ("limit=", "limit"),
        ("limit=99999999999999999999", "limit"),
        ("limit=1&limit=2", "limit"),
        ("cursor=", "cursor"),
        ("cursor=x", "cursor"),
        ("cursor=pending.1", "cursor"),
        ("cursor=pending.1.x", "cursor"),
        ("cursor=%00", "cursor"),
        ("page=2", "page"),
        ("Limit=1", "Limit"),
    ],
)
async def test_a_bad_query_parameter_is_named(served: Served, path: str, query: str, named: str) -> None:
    assert f"`{named}`" in problem_in(await served.client.get(f"{path}?{query}"), 400)["detail"]


@pytest.mark.parametrize(
    ("method", "path", "named"),
    [
        ("GET", "/tasks?state=done", "state"),
        ("GET", "/tasks?state=null", "state"),
        ("GET", "/tasks?state=pending&state=running", "state"),
        ("GET", "/tasks?name=a&name=a", "name"),
        ("GET", "/tasks/pending?state=pending", "state"),
        ("GET", "/tasks/x?wat=1", "wat"),
        ("DELETE", "/tasks/x?wat=1", "wat"),
        ("POST", "/tasks?verdicts=some", "verdicts"),
        ("POST", "/tasks?atomic=perhaps", "atomic"),
        ("POST", "/tasks?wait_for_room=-1", "wait_for_room"),
        ("POST", "/tasks?wait_for_room=61", "wait_for_room"),
        ("POST", "/tasks?wait_for_room=nan", "wait_for_room"),
        ("POST", "/tasks?wait_for_room=inf", "wait_for_room"),
        ("POST", "/tasks?wat=1", "wat"),
    ],
)
async def test_a_query_parameter_of_one_route_is_checked(served: Served, method: str, path: str, named: str) -> None:
    reply = await served.client.request(method, path, json=[{"name": "a"}] if method == "POST" else None)

    assert f"`{named}`" in problem_in(reply, 400)["detail"]
    assert await served.names() == []
