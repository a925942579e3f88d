"""Rules of the API that JSON Schema cannot express, for the request generator.

The hook changes only requests that are meant to be valid. Deliberately invalid requests are sent unchanged.
"""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import schemathesis
from schemathesis import Case, HookContext

NAME_BYTES_MAX = 255
WAIT_SECONDS_MAX = 0.01


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    """Change a request that is valid by its schema so that the server accepts it too."""
    # No path matches a name with control characters, so the server would reply 404.
    if case.operation.path.startswith("/schedules/"):
        case.path_parameters = {"name": "nightly"}
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    case.query = {name: _parameter(name, value, case) for name, value in case.query.items() if name != "handler"}
    if case.operation.path == "/tasks" and case.method == "POST":
        body: Any = case.body
        case.body = [_task(task) for task in body] if isinstance(body, list) else _task(body)
        if isinstance(body, list):
            case.query.pop("wait", None)  # only for one task
        if case.headers.pop("Idempotency-Key", None) is not None and case.media_type == "application/json":
            case.headers["Idempotency-Key"] = str(uuid4())  # a key belongs to one request, and not to a stream
    if case.operation.path == "/tasks/bulk":
        case.body = _bulk(case.body)
    if case.method == "PUT":
        case.body = _schedule(case.body)
    if case.method == "PATCH":
        case.body = _written(case.body) or {"priority": 1}  # a change of a task needs at least one member


def _parameter(name: str, value: Any, case: Case[Any]) -> Any:
    match name:
        case "since" | "until" | "finished_since":  # a time in the schema may be a leap second
            return "2030-01-31T08:00:00Z"
        case "state" if {"outcome", "finished_since", "error"} & case.query.keys():
            return "finished"  # only finished tasks have these
        case "cursor":  # a cursor cannot be invented; it belongs to the listing that returned it
            if {"outcome", "finished_since", "error"} & case.query.keys():
                return f"finished.0.{len(value)}"
            listing = case.query.get("state") or case.operation.path.rpartition("/")[2].replace("tasks", "finished")
            return f"{listing}.0.{len(value)}"
        case "wait" | "wait_for_room":  # keeps the test from waiting for minutes
            return min(float(value), WAIT_SECONDS_MAX)
        case "follow":  # the log of a task that waits would be followed for as long
            return False
        case _:
            return value


def _bulk(body: Any) -> Any:
    """Return a request that names tasks by criteria which suit its action."""
    fields = {key: value for key, value in body.items() if key not in ("filter", "ids", "priority")}
    changes_priority = fields["action"] == "priority"
    return _written(fields) | {"filter": {"name_prefix": "a"}} | ({"priority": 1} if changes_priority else {})


def _schedule(schedule: Any) -> Any:
    """Return a schedule with either a cron expression or an interval, and a task without `run_at`."""
    fields = {key: _written(value) for key, value in schedule.items()}
    by_cron = fields.get("every") is None
    of_the_other = ("every", "start_at") if by_cron else ("cron", "timezone")
    fields = {key: value for key, value in fields.items() if key not in of_the_other}
    task = {key: value for key, value in _task(fields["task"]).items() if key != "run_at"}
    return fields | {"task": task, "jitter": 0} | ({"cron": "0 3 * * *", "timezone": "UTC"} if by_cron else {})


def _task(task: Any) -> Any:
    """Return a task with a name within the limit in bytes."""
    name = task["name"].encode()[:NAME_BYTES_MAX].decode(errors="ignore")
    return {key: _written(value) for key, value in task.items()} | {"name": name}


def _written(value: Any) -> Any:
    """Return values without whole-number floats: 2.0 is an integer in JSON Schema but not in the API."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case str():  # a program's argument cannot contain a NUL character
            return value.replace("\0", "")
        case dict():
            return {key: _written(inner) for key, inner in value.items()}
        case list():
            return [_written(inner) for inner in value]
        case _:
            return value


@schemathesis.serializer("application/x-ndjson")  # type: ignore[untyped-decorator, unused-ignore]
def ndjson(context: Any, value: Any) -> bytes:
    """Serialize a list with one element per line."""
    lines = value if isinstance(value, list) else [value]
    return "".join(json.dumps(line) + "\n" for line in lines).encode()
