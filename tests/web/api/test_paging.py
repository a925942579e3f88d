"""Pages of a listing, followed by their links while tasks start, finish and change state."""

from __future__ import annotations

from typing import Any

import pytest

from ...fakes import Gate
from ..conftest import Served, ServeHere
from ..replies import problem_in


class Pages:
    """The pages of a listing. Each page is requested when the test needs it."""

    def __init__(self, served: Served, path: str) -> None:
        self._served = served
        self._url: str | None = path

    def __aiter__(self) -> Pages:
        return self

    async def __anext__(self) -> list[Any]:
        if self._url is None:
            raise StopAsyncIteration
        reply = await self._served.client.get(self._url)
        assert reply.status_code == 200, reply.text
        self._url = reply.links["next"]["url"] if "link" in reply.headers else None
        page: list[Any] = reply.json()
        return page


async def submit(served: Served, *names: str, **fields: int) -> None:
    reply = await served.client.post("/tasks", json=[{"name": name, **fields} for name in names])
    assert reply.status_code == 200


async def cancel(served: Served, record: Any) -> None:
    assert (await served.client.delete(f"/tasks/{record['id']}")).status_code == 200


@pytest.mark.parametrize(("limit", "sizes"), [(1, [1] * 6), (4, [4, 2]), (3, [3, 3]), (6, [6]), (1000, [6])])
async def test_pages_have_the_size_asked_for_and_the_last_has_no_link(
    serve_here: ServeHere, gate: Gate, limit: int, sizes: list[int]
) -> None:
    served = await serve_here(pool_size=2, handler=gate)
    await submit(served, *"abcdef")
    await served.until(lambda now: now.store.running == 2)

    seen = [page async for page in Pages(served, f"/tasks?limit={limit}")]

    assert [len(page) for page in seen] == sizes
    assert [record["name"] for page in seen for record in page] == [*"cdef", *"ab"]


async def test_a_link_keeps_what_the_listing_was_narrowed_to(full: Served) -> None:
    for _ in range(3):
        [p0] = await full.listing("/tasks?name=p0&state=pending")
        await cancel(full, p0)
        await submit(full, "p0")

    seen = [page async for page in Pages(full, "/tasks?name=p0&state=finished&limit=2")]

    assert [[(record["name"], record["state"]) for record in page] for page in seen] == [
        [("p0", "finished"), ("p0", "finished")],
        [("p0", "finished")],
    ]


async def test_a_link_can_carry_any_name(serve_here: ServeHere, gate: Gate) -> None:
    served = await serve_here(pool_size=1, handler=gate)
    name = 'ü & "=?#>;'
    for _ in range(2):
        reply = await served.client.post("/tasks", json={"name": name})
        await served.client.delete(f"/tasks/{reply.json()['id']}")
        await served.until(lambda now: now.store.running == now.store.pending == 0)

    first = await served.client.get("/tasks", params={"name": name, "limit": 1})
    second = await served.client.get(first.links["next"]["url"])

    assert [record["name"] for record in first.json() + second.json()] == [name, name]


async def test_a_listing_has_a_thousand_records_when_no_limit_is_given(serve_here: ServeHere, gate: Gate) -> None:
    served = await serve_here(queue_size=2000, handler=gate)
    await submit(served, *map(str, range(1500)))

    assert [len(page) async for page in Pages(served, "/tasks")] == [1000, 500]


async def test_a_task_that_stays_put_is_seen_exactly_once_whatever_others_do(serve_here: ServeHere, gate: Gate) -> None:
    served = await serve_here(pool_size=1, handler=gate)
    await submit(served, "r")
    await served.until(lambda now: now.store.running == 1)
    staying = [f"stays-{number}" for number in range(20)]
    await submit(served, *(name for number in range(20) for name in (f"goes-{number}", f"stays-{number}")))
    going = {record["name"]: record for record in await served.listing("/tasks/pending") if "goes" in record["name"]}
    seen: list[str] = []

    async for page in Pages(served, "/tasks/pending?limit=3"):
        seen += [record["name"] for record in page]
        for name in list(going)[::5]:  # some before the cursor, some behind it
            await cancel(served, going.pop(name))
        await submit(served, f"first-{len(seen)}", priority=1)
        if len(seen) < 30:
            await submit(served, f"last-{len(seen)}", priority=-1)

    assert [name for name in seen if name in staying] == staying
    assert not [name for name in seen if "first" in name]
    assert [name for name in seen if "last" in name]


async def test_the_place_of_a_cursor_may_be_gone_when_it_is_used(full: Served) -> None:
    following = Pages(full, "/tasks/pending?limit=1")
    [first] = await anext(following)
    await cancel(full, first)

    assert [record["name"] for record in await anext(following)] == ["p1"]


async def test_a_task_that_moves_on_may_be_seen_twice_but_is_not_missed(full: Served, gate: Gate) -> None:
    following = Pages(full, "/tasks?limit=1")
    seen = [record["name"] for record in await anext(following)]
    gate.open()
    await full.until(lambda now: now.store.finished == {"succeeded": 3})

    async for page in following:
        seen += [record["name"] for record in page]

    assert set(seen) == {"r", "p0", "p1"}


async def test_a_cursor_of_another_listing_is_refused(full: Served) -> None:
    reply = await full.client.get("/tasks/pending?limit=1")
    cursor = reply.links["next"]["url"].partition("cursor=")[2]

    assert "`cursor`" in problem_in(await full.client.get(f"/tasks/running?cursor={cursor}"), 400)["detail"]
