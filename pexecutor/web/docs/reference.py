"""The longer parts of the documentation: the frame of the document, its examples, and what several routes share.

The rows of the route table (``routes.py``) hold the rest. Examples are real. A test sends those of requests to a
server. The examples of replies are built by the code that builds replies.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ...errors import FieldError, InvalidTaskError, StoreUnavailableError
from ...task import Attempt, Ending, Finished, Outcome, Pending, Running, Task, make_serial
from ..api.errors import BadRequestError, RequestTimeoutError, TooLargeError, UnsupportedMediaTypeError
from ..api.reply import problem
from ..api.route import Doc, DocumentedReply, Media
from ..api.tasks import HeldProblem, SubmitProblem
from ..api.wire import BatchReply, TaskDetail, TaskVerdict, TaskView, detail, timestamp, view
from .openapi import NDJSON, json_media, problem_media
from .schemas import JsonObject, ref

FRAME: Final[JsonObject] = {
    "description": (
        "A task executor with an HTTP API. You send named tasks, and the first free worker of a fixed pool runs each"
        " task. A task whose name is already held is refused as a duplicate, so no task runs twice at once.\n\n"
        "Every error is `application/problem+json` (RFC 9457). An unknown path is answered 404, and an unsupported"
        " method 405 with `Allow`. HEAD is supported wherever GET is. A request with an invalid HTTP/1.1 head is"
        " answered 400, 431 or 501."
    ),
    "tags": [
        {"name": "Tasks", "description": "Submit, list, show, wait for and cancel tasks."},
        {"name": "Server", "description": "The handlers, the state and the metrics of the server."},
    ],
    "headers": {
        "Retry-After": {
            "description": "After how many seconds to try again, estimated from the measured finish rate.",
            "required": True,
            "schema": {"type": "integer", "minimum": 1, "maximum": 60},
        },
        "Location": {
            "description": "The path of the task's record.",
            "required": True,
            "schema": {"type": "string", "format": "uri-reference"},
        },
        "Link": {
            "description": 'The path of the next page, with `rel="next"`; absent on the last page.',
            "schema": {"type": "string"},
        },
    },
}

# Examples

_AT: Final = 1_795_566_401.991
_TASK: Final = Task("report", duration=2000)
_SERIAL: Final = make_serial(0xA3F09C, 42)
_PENDING: Final = Pending(_SERIAL, _TASK, _AT, ())
_RUNNING: Final = Running(_SERIAL, _TASK, _AT, (), _AT + 0.5)
_ENDED: Final = Finished(
    *(_SERIAL, _TASK, _AT, (Attempt(_AT + 0.5, _AT + 2.5, Outcome.SUCCEEDED, None),), _AT + 2.5),
    Ending(Outcome.SUCCEEDED, result=b"null"),
)
_CANCELLED: Final = Finished(_SERIAL, _TASK, _AT, (), _AT + 0.3, Ending(Outcome.CANCELLED))


def _example(content: Any) -> Any:
    """Return the content of a reply as plain JSON values."""
    return msgspec.json.decode(content if isinstance(content, bytes) else msgspec.json.encode(content))


_BATCH: Final = BatchReply(
    2, 1, 1, 0, [TaskVerdict(1, "report", "duplicate", _PENDING.id, _RUNNING.state, timestamp(_AT))]
)
_FULL: Final = problem(
    429,
    "the queue has no room for 1 task: try again later",
    msgspec.to_builtins(BatchReply(2, 1, 0, 1, [TaskVerdict(1, "late", "full")])),
)
_INVALID: Final = problem(400, "`name` is required", {"errors": [FieldError(0, "name", "`name` is required")]})
_HELD: Final = problem(409, f"the name 'report' is held by the running task {_RUNNING.id}", {"holder": view(_RUNNING)})

# Replies that several routes share

PAGE: Final = DocumentedReply(
    "A page of records; `Link` has the path of the next page.",
    (json_media({"type": "array", "items": ref(TaskView)}, page=[_example(view(_PENDING))]),),
    ("Link",),
)
_REFUSED: Final = "The queue has no room for some of the tasks; what was accepted stays accepted."
_DRAINING: Final = (
    "The server is stopping and accepts no tasks, or its store accepts no changes; try another server, or try later."
)


def _submit_problem(description: str, *headers: str, **examples: Any) -> DocumentedReply:
    return DocumentedReply(description, (problem_media(SubmitProblem, **examples),), headers)


def reply(
    description: str, *media: Media, headers: tuple[str, ...] = (), links: tuple[str, ...] = ()
) -> DocumentedReply:
    """Return the documentation of a reply."""
    return DocumentedReply(description, media, headers, links)


def json_of(kind: type[msgspec.Struct], **examples: Any) -> Media:
    """Return a JSON body that holds one value of a type; the examples are values of the type."""
    return json_media(ref(kind), **{title: _example(value) for title, value in examples.items()})


def list_of(kind: type[msgspec.Struct]) -> Media:
    """Return a JSON body that holds a list of values of a type."""
    return json_media({"type": "array", "items": ref(kind)})


SHOWN: Final = reply("The record with all its fields.", json_of(TaskDetail, finished=detail(_ENDED)))

CANCELLED: Final = {
    200: reply("The task has ended.", json_of(TaskDetail, cancelled=detail(_CANCELLED))),
    202: reply(
        "The task is running and has been cancelled; it has yet to end.",
        json_of(TaskDetail, running=detail(_RUNNING)),
    ),
}

SUBMIT_BODY: Final = (
    json_media(
        {"anyOf": [ref(Task), ref("TaskList")]},
        one={"name": "report", "duration": 2000},
        list=[{"name": "a"}, {"name": "b", "priority": 5, "retries": 3}],
    ),
    Media(
        NDJSON,
        {"type": "array", "items": ref(Task)},
        {"stream": [{"name": "line-1"}, {"name": "line-2", "duration": 100}]},
    ),
)

SUBMIT: Final = Doc(
    "submit_tasks",
    "Tasks",
    "Submit one task, a list of them, or a stream.",
    description=(
        "The body is one object or a list as JSON, or a stream of any length with one task on each line. If two"
        " tasks of a list have the same name, the first one wins. A list with an invalid task is refused as a"
        " whole. A stream is accepted up to the invalid line. While the queue is full, the server stops reading"
        " the stream."
    ),
    body_description="One task, a list of tasks, or one task on each line.",
    replies={
        200: reply("A list or a stream: each task was accepted or is a duplicate.", json_of(BatchReply, reply=_BATCH)),
        202: reply(
            "One task: the task was accepted.",
            json_of(TaskDetail, accepted=detail(_PENDING)),
            headers=("Location",),
            links=("show_task", "cancel_task"),
        ),
        400: _submit_problem("A parameter, the body or a task is invalid.", faults=_example(_INVALID)),
        408: _submit_problem("The body did not arrive in time."),
        409: reply("One task: another task holds its name.", problem_media(HeldProblem, held=_example(_HELD))),
        413: _submit_problem("The body, the list or a line of a stream is over the limit."),
        429: _submit_problem(_REFUSED, "Retry-After", full=_example(_FULL)),
        503: _submit_problem(_DRAINING, "Retry-After"),
    },
    errors=(
        *(BadRequestError, InvalidTaskError, RequestTimeoutError, TooLargeError),
        *(UnsupportedMediaTypeError, StoreUnavailableError),
    ),
)
