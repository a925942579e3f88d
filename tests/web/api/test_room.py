"""Submits that want all tasks accepted or none, and submits that wait for room.

The server is full: a closed gate keeps its only worker busy, and the queue holds two tasks. So a place becomes free
only when a test frees one.
"""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
import trio

from ...fakes import Gate
from ..conftest import Served, ServeHere
from ..raw import JSON, connected, request
from ..replies import counts_in, problem_in, retry_after_in


def batch(names: str) -> list[dict[str, str]]:
    return [{"name": name} for name in names]


async def free_a_place(served: Served) -> None:
    """Cancel the pending task that would start next."""
    first = (await served.listing("/tasks/pending"))[0]
    assert (await served.client.delete(f"/tasks/{first['id']}")).status_code == 200


class Submit:
    """A submit that runs in the background; ``reply`` is set once the server has replied."""

    def __init__(self, nursery: trio.Nursery, served: Served, url: str, body: Any) -> None:
        self.reply: httpx2.Response
        self.answered = trio.Event()
        nursery.start_soon(self._run, served, url, body)

    async def _run(self, served: Served, url: str, body: Any) -> None:
        self.reply = await served.client.post(url, json=body)
        self.answered.set()


async def test_an_atomic_batch_that_fits_is_taken_as_a_whole(serve_here: ServeHere, gate: Gate) -> None:
    served = await serve_here(queue_size=3, handler=gate)

    reply = await served.client.post("/tasks?atomic=true", json=batch("aabc"))

    assert reply.status_code == 200
    assert counts_in(reply) == (4, 3, 1, 0)


async def test_of_an_atomic_batch_that_does_not_fit_nothing_is_taken(full: Served) -> None:
    await free_a_place(full)

    reply = await full.client.post("/tasks?atomic=true", json=batch("ab"))

    assert problem_in(reply, 429)
    assert retry_after_in(reply)
    assert counts_in(reply) == (2, 0, 0, 2)
    assert await full.names("/tasks/pending") == ["p1"]


async def test_an_atomic_batch_needs_room_only_for_names_that_are_free(full: Served) -> None:
    await free_a_place(full)

    reply = await full.client.post("/tasks?atomic=true", json=[{"name": "p1"}, {"name": "a"}])

    assert reply.status_code == 200
    assert counts_in(reply) == (2, 1, 1, 0)


async def test_an_atomic_batch_that_can_never_fit_is_the_callers_fault(full: Served) -> None:
    problem = problem_in(await full.client.post("/tasks?atomic=true&wait_for_room=60", json=batch("abc")), 400)

    assert "split" in problem["detail"]
    assert await full.names("/tasks/pending") == ["p0", "p1"]


@pytest.mark.parametrize(
    ("url", "body", "status"),
    [
        ("/tasks?wait_for_room=20", {"name": "a"}, 202),
        ("/tasks?wait_for_room=20", [{"name": "a"}], 200),
        ("/tasks?wait_for_room=20&atomic=true", [{"name": "a"}], 200),
    ],
)
async def test_a_submit_waits_for_room_and_is_answered_when_it_comes(
    full: Served, nursery: trio.Nursery, url: str, body: Any, status: int
) -> None:
    submit = Submit(nursery, full, url, body)
    await full.until(lambda now: now.waiting_for_room == 1)

    await free_a_place(full)

    with trio.fail_after(1):
        await submit.answered.wait()
    assert submit.reply.status_code == status
    assert await full.names("/tasks/pending") == ["p1", "a"]


async def test_a_batch_takes_places_one_by_one_as_they_come(full: Served, nursery: trio.Nursery, gate: Gate) -> None:
    submit = Submit(nursery, full, "/tasks?wait_for_room=20", batch("abcde"))
    await full.until(lambda now: now.waiting_for_room == 1)

    gate.open()
    with trio.fail_after(2):
        await submit.answered.wait()

    assert submit.reply.status_code == 200
    assert counts_in(submit.reply) == (5, 5, 0, 0)


async def test_an_atomic_batch_waits_until_all_of_it_fits(full: Served, nursery: trio.Nursery) -> None:
    submit = Submit(nursery, full, "/tasks?wait_for_room=20&atomic=true", batch("ab"))
    await full.until(lambda now: now.waiting_for_room == 1)

    await free_a_place(full)
    await trio.sleep(0.05)
    assert not submit.answered.is_set()

    await free_a_place(full)
    with trio.fail_after(1):
        await submit.answered.wait()
    assert counts_in(submit.reply) == (2, 2, 0, 0)
    assert await full.names("/tasks/pending") == ["a", "b"]


@pytest.mark.parametrize("body", [{"name": "a"}, [{"name": "a"}]])
async def test_waiting_for_room_ends_in_a_refusal_when_its_time_is_up(full: Served, body: Any) -> None:
    begin = trio.current_time()

    reply = await full.client.post("/tasks?wait_for_room=0.1", json=body)

    assert 0.1 <= trio.current_time() - begin < 1
    assert problem_in(reply, 429)
    assert retry_after_in(reply)
    assert await full.names("/tasks/pending") == ["p0", "p1"]


async def test_a_drain_answers_those_who_wait_for_room(full: Served, nursery: trio.Nursery) -> None:
    submit = Submit(nursery, full, "/tasks?wait_for_room=60", batch("ab"))
    await full.until(lambda now: now.waiting_for_room == 1)

    full.executor.drain()

    with trio.fail_after(1):
        await submit.answered.wait()
    assert problem_in(submit.reply, 503)
    assert counts_in(submit.reply) == (2, 0, 0, 2)


async def test_a_client_that_leaves_stops_waiting_and_leaks_nothing(full: Served) -> None:
    async with connected(full.port) as client:
        await client.send(request("POST /tasks?wait_for_room=60", JSON, body=b'[{"name": "a"}]'))
        await full.until(lambda now: now.waiting_for_room == 1)
        client.reset()

    await full.until(lambda now: now.waiting_for_room == 0, seconds_max=1)
    await free_a_place(full)
    assert await full.names("/tasks/pending") == ["p1"]
    assert (await full.client.post("/tasks", json={"name": "a"})).status_code == 202


async def test_those_who_wait_are_served_in_the_order_they_came(full: Served, nursery: trio.Nursery) -> None:
    submits = []
    for number, name in enumerate("abc", 1):
        submits.append(Submit(nursery, full, "/tasks?wait_for_room=20", {"name": name}))
        await full.until(lambda now, number=number: now.waiting_for_room == number)  # type: ignore[misc]

    await free_a_place(full)
    with trio.fail_after(1):
        await submits[0].answered.wait()

    assert [submit.answered.is_set() for submit in submits] == [True, False, False]
