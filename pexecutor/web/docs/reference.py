"""The table of all routes in the OpenAPI document. Each new route needs a row here; a test checks that.

Routes for browsers only are omitted: the dashboard and its session.

Examples are real. A test sends those of requests to a server. The examples of replies are built by the code that builds
replies.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ...errors import (
    AlreadyFinishedError,
    AlreadyStartedError,
    ExpiredTaskError,
    FieldError,
    InvalidCursorError,
    InvalidTaskError,
    StoreUnavailableError,
    UnknownTaskError,
)
from ...handlers.catalogue import HandlerView
from ...task import Attempt, Ending, Finished, Outcome, Pending, Running, Task, make_serial
from ..api.decode import Change
from ..api.errors import (
    BadRequestError,
    RequestTimeoutError,
    TooLargeError,
    TooManyStreamsError,
    UnsupportedMediaTypeError,
)
from ..api.events import EventsQuery
from ..api.ops import Alive, NodeView, NotReadyProblem, Situation, TimelineView
from ..api.reply import problem
from ..api.tasks import HeldProblem, PageQuery, ShowQuery, SubmitProblem, SubmitQuery, TasksQuery
from ..api.wire import BatchReply, TaskDetail, TaskVerdict, TaskView, detail, timestamp, view
from .openapi import NDJSON, DocumentedReply, Media, Operation, json_media, problem_media
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

# Replies and rows that several routes share

_PAGE: Final = DocumentedReply(
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


def _listing(path: str, name: str, summary: str, query: type[msgspec.Struct] = PageQuery) -> Operation:
    return Operation(
        method="GET",
        path=path,
        id=name,
        group="Tasks",
        summary=summary,
        query=query,
        replies={200: _PAGE},
        errors=(BadRequestError, InvalidCursorError),
    )


OPERATIONS: Final = (
    Operation(
        method="POST",
        path="/tasks",
        id="submit_tasks",
        group="Tasks",
        summary="Submit one task, a list of them, or a stream.",
        description=(
            "The body is one object or a list as JSON, or a stream of any length with one task on each line. If two"
            " tasks of a list have the same name, the first one wins. A list with an invalid task is refused as a"
            " whole. A stream is accepted up to the invalid line. While the queue is full, the server stops reading"
            " the stream."
        ),
        query=SubmitQuery,
        body_description="One task, a list of tasks, or one task on each line.",
        body=(
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
        ),
        replies={
            200: DocumentedReply(
                "A list or a stream: each task was accepted or is a duplicate.",
                (json_media(ref(BatchReply), reply=_example(_BATCH)),),
            ),
            202: DocumentedReply(
                "One task: the task was accepted.",
                (json_media(ref(TaskDetail), accepted=_example(detail(_PENDING))),),
                ("Location",),
                ("show_task", "cancel_task"),
            ),
            400: _submit_problem("A parameter, the body or a task is invalid.", faults=_example(_INVALID)),
            408: _submit_problem("The body did not arrive in time."),
            409: DocumentedReply(
                "One task: another task holds its name.", (problem_media(HeldProblem, held=_example(_HELD)),)
            ),
            413: _submit_problem("The body, the list or a line of a stream is over the limit."),
            429: _submit_problem(_REFUSED, "Retry-After", full=_example(_FULL)),
            503: _submit_problem(_DRAINING, "Retry-After"),
        },
        errors=(
            *(BadRequestError, InvalidTaskError, RequestTimeoutError, TooLargeError),
            *(UnsupportedMediaTypeError, StoreUnavailableError),
        ),
    ),
    _listing("/tasks", "list_tasks", "List tasks: scheduled, pending, running, then finished.", TasksQuery),
    _listing("/tasks/pending", "list_pending", "List pending tasks, in start order."),
    _listing("/tasks/running", "list_running", "List running tasks, by start time."),
    _listing("/tasks/finished", "list_finished", "List finished tasks whose records are kept, the latest first."),
    Operation(
        method="GET",
        path="/tasks/{id}",
        id="show_task",
        group="Tasks",
        summary="Show a task's record, or wait for its outcome.",
        query=ShowQuery,
        replies={
            200: DocumentedReply(
                "The record with all its fields.", (json_media(ref(TaskDetail), finished=_example(detail(_ENDED))),)
            )
        },
        errors=(BadRequestError, UnknownTaskError, ExpiredTaskError),
    ),
    Operation(
        method="PATCH",
        path="/tasks/{id}",
        id="change_task",
        group="Tasks",
        summary="Change the priority of a waiting task.",
        body_description="The new priority.",
        body=(json_media(ref(Change), urgent={"priority": 50}),),
        replies={200: DocumentedReply("The changed record.", (json_media(ref(TaskDetail)),))},
        errors=(
            *(BadRequestError, InvalidTaskError, UnknownTaskError, RequestTimeoutError, AlreadyFinishedError),
            *(AlreadyStartedError, ExpiredTaskError, TooLargeError, UnsupportedMediaTypeError, StoreUnavailableError),
        ),
    ),
    Operation(
        method="DELETE",
        path="/tasks/{id}",
        id="cancel_task",
        group="Tasks",
        summary="Cancel a task.",
        description="The record of the task is kept, with its outcome.",
        replies={
            200: DocumentedReply(
                "The task has ended.", (json_media(ref(TaskDetail), cancelled=_example(detail(_CANCELLED))),)
            ),
            202: DocumentedReply(
                "The task is running and has been cancelled; it has yet to end.",
                (json_media(ref(TaskDetail), running=_example(detail(_RUNNING))),),
            ),
        },
        errors=(BadRequestError, UnknownTaskError, AlreadyFinishedError, ExpiredTaskError, StoreUnavailableError),
    ),
    Operation(
        method="GET",
        path="/events",
        id="events",
        group="Tasks",
        summary="Follow tasks as a stream of server-sent events.",
        description=(
            "`task` has a record as listings show it, at each change of its state. `progress` has the progress of a"
            " running task. `drain` means that the stop has begun. `gap` means that events were missed: read the"
            " listings again. Send `Last-Event-ID` to resume a stream."
        ),
        query=EventsQuery,
        replies={
            200: DocumentedReply(
                "A stream that ends with the server.", (Media("text/event-stream", {"type": "string"}),)
            )
        },
        errors=(BadRequestError, TooManyStreamsError),
    ),
    Operation(
        method="GET",
        path="/handlers",
        id="list_handlers",
        group="Server",
        summary="List the handlers, each with the JSON Schema of its params.",
        replies={
            200: DocumentedReply("All handlers, by name.", (json_media({"type": "array", "items": ref(HandlerView)}),))
        },
    ),
    Operation(
        method="GET",
        path="/livez",
        id="live",
        group="Server",
        summary="Check whether the process answers.",
        replies={200: DocumentedReply("The process answers.", (json_media(ref(Alive), alive=_example(Alive())),))},
    ),
    Operation(
        method="GET",
        path="/readyz",
        id="ready",
        group="Server",
        summary="Check whether tasks are accepted, and show the statistics of the executor.",
        replies={
            200: DocumentedReply("Tasks are accepted.", (json_media(ref(Situation)),)),
            503: DocumentedReply(
                "The stop has begun, or the store cannot be written.", (problem_media(NotReadyProblem),)
            ),
        },
    ),
    Operation(
        method="GET",
        path="/metrics",
        id="metrics",
        group="Server",
        summary="Show metrics for Prometheus.",
        replies={
            200: DocumentedReply(
                "The metrics, in OpenMetrics if `Accept` asks for it.",
                (
                    Media("text/plain", {"type": "string"}),
                    Media("application/openmetrics-text", {"type": "string"}),
                ),
            )
        },
    ),
    Operation(
        method="GET",
        path="/statistics/history",
        id="history",
        group="Server",
        summary="Show the throughput of the last 15 minutes.",
        replies={200: DocumentedReply("The intervals in which something happened.", (json_media(ref(TimelineView)),))},
    ),
    Operation(
        method="GET",
        path="/nodes",
        id="nodes",
        group="Server",
        summary="List the processes that share the store.",
        description="The list is empty if the store is not a shared one.",
        replies={
            200: DocumentedReply(
                "The nodes, ordered by the ends of their leases.",
                (json_media({"type": "array", "items": ref(NodeView)}),),
            )
        },
    ),
    Operation(
        method="POST",
        path="/drain",
        id="drain",
        group="Server",
        summary="Begin the stop.",
        description="The stop continues after this reply. Further requests change nothing.",
        replies={202: DocumentedReply("The stop has begun.", (json_media(ref(Situation)),))},
    ),
    Operation(
        method="GET",
        path="/openapi.json",
        id="openapi",
        group="Server",
        summary="Show this document.",
        replies={200: DocumentedReply("An OpenAPI 3.1 document.", (json_media({"type": "object"}),))},
    ),
    Operation(
        method="GET",
        path="/docs",
        id="docs",
        group="Server",
        summary="Show this document as a page for people.",
        replies={200: DocumentedReply("An HTML page.", (Media("text/html", {"type": "string"}),))},
    ),
    Operation(
        method="GET",
        path="/docs/style.css",
        id="docs_style",
        group="Server",
        summary="Show the style sheet of that page.",
        replies={200: DocumentedReply("A style sheet.", (Media("text/css", {"type": "string"}),))},
    ),
)
"""Every route, in the order of the document."""
