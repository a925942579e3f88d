from __future__ import annotations

from .conftest import Served, ServeHere


async def test_a_batch_is_answered_in_the_keys_of_the_original(served: Served) -> None:
    reply = await served.client.post("/tasks", json=[{"name": "a", "duration": 50}, {"name": "a"}, {"name": "b"}])

    assert reply.status_code == 200
    counts = {key: value for key, value in reply.json().items() if key != "Tasks"}
    assert counts == {"RequestedTask": 3, "SubmittedTasks": 2, "DuplicateTasks": 1, "RejectedTasks": 0}
