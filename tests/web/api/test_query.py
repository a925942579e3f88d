"""Query parameters: each is checked, and the error names the invalid one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pexecutor.web.api.tasks import NoQuery
from pexecutor.web.routes import ROUTES

from ..conftest import Served
from ..replies import problem_in

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
        ("limit=5.5", "limit"),
        ("limit=5.0.0", "limit"),
        ("limit=1001.0", "limit"),
        ("limit=99999999999999999999.0", "limit"),
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


@pytest.mark.parametrize("path", LISTINGS)
@pytest.mark.parametrize("query", ["cursor=", "limit=5.0", "limit=5.000&cursor="])
async def test_what_generated_clients_write_is_taken(served: Served, path: str, query: str) -> None:
    reply = await served.client.get(f"{path}?{query}")

    assert (reply.status_code, reply.json()) == (200, [])


@pytest.mark.parametrize("query", ["wait=0.0", "wait=0"])
async def test_a_number_of_seconds_may_have_a_fraction(served: Served, query: str) -> None:
    assert "no task has the id" in problem_in(await served.client.get(f"/tasks/x?{query}"), 404)["detail"]


@pytest.mark.parametrize("value", ["x", ""])
async def test_a_parameter_with_listed_values_is_checked(served: Served, value: str) -> None:
    """On each route, the reply names the parameter, the value and what is allowed."""
    checked = set()
    for route in ROUTES:
        schema = msgspec.json.schema(route.query or NoQuery)
        for name, shape in schema["$defs"][(route.query or NoQuery).__name__]["properties"].items():
            if allowed := values_of(shape, schema["$defs"]):
                path = route.path_with(lambda _: "x")
                reply = await served.client.request(route.method, f"{path}?{name}={value}")
                begin, _, listed = problem_in(reply, 400)["detail"].partition(": the values are: ")
                assert begin == f"invalid value {value!r} of the query parameter `{name}`"
                assert sorted(listed.split(", ")) == sorted(allowed)
                checked.add(name)
    assert {"state", "outcome", "verdicts", "follow", "force"} <= checked


def values_of(shape: dict[str, Any], named: dict[str, Any]) -> list[str]:
    """Return the texts that a JSON schema lists; empty if it allows others."""
    shapes = [
        named[each["$ref"].rpartition("/")[2]] if "$ref" in each else each for each in shape.get("anyOf", [shape])
    ]
    if any(each.get("type") == "boolean" for each in shapes):
        return ["true", "false"]
    return [value for each in shapes for value in each.get("enum", ())]


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("/tasks?limit=x", "invalid value 'x' of the query parameter `limit`: expected a whole number"),
        ("/tasks/x?wait=", "invalid value '' of the query parameter `wait`: expected a number"),
        ("/tasks?tag=", "invalid value [''] of the query parameter `tag`: it is empty: write a value"),
    ],
)
async def test_a_text_in_the_place_of_a_number_is_refused_in_plain_words(
    served: Served, query: str, complaint: str
) -> None:
    assert problem_in(await served.client.get(query), 400)["detail"].startswith(complaint)


async def test_a_name_that_looks_like_a_number_stays_as_it_is(served: Served) -> None:
    await served.client.post("/tasks", json=[{"name": "5", "delay": 1000}, {"name": "5.0", "delay": 1000}])

    assert [record["name"] for record in (await served.client.get("/tasks?name=5.0")).json()] == ["5.0"]
