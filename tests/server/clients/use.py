"""What a Python program does with the client that openapi-python-client makes."""

from __future__ import annotations

import sys

from generated import Client
from generated.api.tasks import cancel_task, list_tasks, show_task, submit_tasks
from generated.models.batch_reply import BatchReply
from generated.models.held_problem import HeldProblem
from generated.models.outcome import Outcome
from generated.models.problem_404 import Problem404
from generated.models.state import State
from generated.models.submit_problem_429 import SubmitProblem429
from generated.models.task import Task
from generated.models.task_detail import TaskDetail
from generated.models.task_params import TaskParams

client = Client(base_url=sys.argv[1])


def submit(task: Task) -> TaskDetail:
    accepted = submit_tasks.sync(client=client, body=task)
    assert isinstance(accepted, TaskDetail), accepted
    return accepted


def show(task_id: str, wait: float = 0) -> TaskDetail:
    record = show_task.sync(task_id, client=client, wait=wait)
    assert isinstance(record, TaskDetail), record
    return record


# Submit, wait, list, show
done = submit(Task(name="py-done", params=TaskParams()))
assert show(done.id, wait=20).outcome is Outcome.SUCCEEDED
finished = list_tasks.sync(client=client, state=State.FINISHED, name="py-done", cursor="")
assert isinstance(finished, list)
assert [record.name for record in finished] == ["py-done"]
assert finished[0].submitted_at.tzinfo is not None

# A list has a reply of its own
batch = submit_tasks.sync(client=client, body=[Task(name="py-list")], atomic=True)
assert isinstance(batch, BatchReply)
assert batch.submitted_tasks == 1

# A held name, and a full queue
running = submit(Task(name="py-running", duration=60_000))
while show(running.id).state is not State.RUNNING:
    pass
waiting = submit(Task(name="py-waiting", priority=5))
held = submit_tasks.sync_detailed(client=client, body=Task(name="py-waiting"))
assert held.status_code == 409
assert isinstance(held.parsed, HeldProblem)
assert held.parsed.holder.id == waiting.id
full = submit_tasks.sync_detailed(client=client, body=Task(name="py-third"))
assert isinstance(full.parsed, SubmitProblem429)
assert int(full.headers["Retry-After"]) >= 1

# Cancel
for task in (waiting, running):
    assert isinstance(cancel_task.sync(task.id, client=client), TaskDetail)
    assert show(task.id, wait=20).outcome is Outcome.CANCELLED
assert isinstance(show_task.sync("x", client=client), Problem404)
