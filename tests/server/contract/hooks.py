"""What the document of the API cannot say, said to the generator: JSON Schema has no words for it.

Only requests that are meant to be right are touched; what is wrong on purpose is sent as it is.
"""

from __future__ import annotations

import json
from typing import Any

import schemathesis
from schemathesis import Case, HookContext

NAME_BYTES_MAX = 255
WAIT_SECONDS_MAX = 0.01


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    """Make a request that is right by its schema one that is right."""
    if case.operation.path.startswith("/schedules/"):  # a name with control characters is answered 404, as no path
        case.path_parameters = {"name": "nightly"}
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    case.query = {name: _parameter(name, value, case) for name, value in case.query.items()}
    if case.operation.path == "/tasks" and case.method == "POST":
        body: Any = case.body
        case.body = [_task(task) for task in body] if isinstance(body, list) else _task(body)
    if case.method == "PUT":
        case.body = _schedule(case.body)
    if case.method == "PATCH":
        case.body = _written(case.body)


def _parameter(name: str, value: Any, case: Case[Any]) -> Any:
    match name:
        case "cursor":  # it cannot be made up, and belongs to the listing that gave it
            listing = case.query.get("state") or case.operation.path.rpartition("/")[2].replace("tasks", "finished")
            return f"{listing}.0.{len(value)}"
        case "wait" | "wait_for_room":  # the test does not wait for minutes
            return min(float(value), WAIT_SECONDS_MAX)
        case _:
            return value


def _schedule(schedule: Any) -> Any:
    """A schedule has a cron expression or an interval, and its task has no time of its own."""
    fields = {key: _written(value) for key, value in schedule.items()}
    by_cron = fields.get("every") is None
    of_the_other = ("every", "start_at") if by_cron else ("cron", "timezone")
    fields = {key: value for key, value in fields.items() if key not in of_the_other}
    task = {key: value for key, value in _task(fields["task"]).items() if key != "run_at"}
    return fields | {"task": task, "jitter": 0} | ({"cron": "0 3 * * *", "timezone": "UTC"} if by_cron else {})


def _task(task: Any) -> Any:
    """A name is bounded in bytes."""
    name = task["name"].encode()[:NAME_BYTES_MAX].decode(errors="ignore")
    return {key: _written(value) for key, value in task.items()} | {"name": name}


def _written(value: Any) -> Any:
    """Whole numbers without a fraction: 2.0 is an integer to a schema, and none to the contract."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case str():  # no argument of a program can hold a NUL character
            return value.replace("\0", "")
        case dict():
            return {key: _written(inner) for key, inner in value.items()}
        case list():
            return [_written(inner) for inner in value]
        case _:
            return value


@schemathesis.serializer("application/x-ndjson")  # type: ignore[untyped-decorator, unused-ignore]
def ndjson(context: Any, value: Any) -> bytes:
    """A list as one element a line."""
    lines = value if isinstance(value, list) else [value]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()
