"""The table of all routes, as the document of the API has them. A new route is a new row here; a test says so.

What only browsers ask for is left out: the dashboard, and its session.

Examples are real: those of requests are sent to a server by a test, those of replies are made by the code that makes
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
        "A task executor you talk to over HTTP. You send named tasks, and the first free worker of a fixed pool runs"
        " each one. A name that is already taken is refused as a duplicate, so nothing runs twice at once.\n\n"
        "Every error is `application/problem+json` (RFC 9457). A path that is not here is answered 404, a method that"
        " is not here 405 with `Allow`. HEAD goes wherever GET does. A request whose head is no HTTP/1.1 is answered"
        " 400, 431 or 501."
    ),
    "tags": [
        {"name": "Tasks", "description": "Submit, list, show, wait for and cancel tasks."},
        {"name": "Server", "description": "What the server can do, and how it is."},
    ],
    "headers": {
        "Retry-After": {
            "description": "After how many seconds to try again: what the measured finish rate promises.",
            "required": True,
            "schema": {"type": "integer", "minimum": 1, "maximum": 60},
        },
        "Location": {
            "description": "Where the task's record is.",
            "required": True,
            "schema": {"type": "string", "format": "uri-reference"},
        },
        "Link": {
            "description": 'Where the next page is, with `rel="next"`; the last page has none.',
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
    """What a reply holds, as JSON has it."""
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
    "A page of records; those that follow are where `Link` leads.",
    (json_media({"type": "array", "items": ref(TaskView)}, page=[_example(view(_PENDING))]),),
    ("Link",),
)
_REFUSED: Final = "The queue has no room for some of the tasks; what was accepted stays accepted."
_DRAINING: Final = (
    "The server is stopping and takes no tasks, or its store takes no changes; try another one, or later."
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
            "A list or one object as JSON, or a stream of any length with a task a line. Of two equal names in one list"
            " the first wins. A list with a faulty task is refused as a whole; a stream is taken up to the faulty line."
            " While the queue is full, a stream is read no further."
        ),
        query=SubmitQuery,
        body_description="One task, a list of tasks, or a task a line.",
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
                "A list or a stream: each task was accepted, or is a duplicate.",
                (json_media(ref(BatchReply), reply=_example(_BATCH)),),
            ),
            202: DocumentedReply(
                "One task: it was accepted.",
                (json_media(ref(TaskDetail), accepted=_example(detail(_PENDING))),),
                ("Location",),
                ("show_task", "cancel_task"),
            ),
            400: _submit_problem("A parameter, the body or a task cannot be taken.", faults=_example(_INVALID)),
            408: _submit_problem("The body did not come in time."),
            409: DocumentedReply("One task: its name is held.", (problem_media(HeldProblem, held=_example(_HELD)),)),
            413: _submit_problem("The body, the list or a line of a stream is larger than what is taken at once."),
            429: _submit_problem(_REFUSED, "Retry-After", full=_example(_FULL)),
            503: _submit_problem(_DRAINING, "Retry-After"),
        },
        errors=(
            *(BadRequestError, InvalidTaskError, RequestTimeoutError, TooLargeError),
            *(UnsupportedMediaTypeError, StoreUnavailableError),
        ),
    ),
    _listing("/tasks", "list_tasks", "List tasks: scheduled, pending, running, then finished ones.", TasksQuery),
    _listing("/tasks/pending", "list_pending", "List pending tasks, in start order."),
    _listing("/tasks/running", "list_running", "List running tasks, by start time."),
    _listing("/tasks/finished", "list_finished", "List finished tasks that are still known, the latest first."),
    Operation(
        method="GET",
        path="/tasks/{id}",
        id="show_task",
        group="Tasks",
        summary="Show a task's record, or wait for its outcome.",
        query=ShowQuery,
        replies={
            200: DocumentedReply(
                "The record, whole.", (json_media(ref(TaskDetail), finished=_example(detail(_ENDED))),)
            )
        },
        errors=(BadRequestError, UnknownTaskError, ExpiredTaskError),
    ),
    Operation(
        method="PATCH",
        path="/tasks/{id}",
        id="change_task",
        group="Tasks",
        summary="Change the priority of a task that waits.",
        body_description="What is to be changed.",
        body=(json_media(ref(Change), urgent={"priority": 50}),),
        replies={200: DocumentedReply("The record as it is now.", (json_media(ref(TaskDetail)),))},
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
        description="Its record stays where it is, and says how the task ended.",
        replies={
            200: DocumentedReply(
                "It has ended with this.", (json_media(ref(TaskDetail), cancelled=_example(detail(_CANCELLED))),)
            ),
            202: DocumentedReply(
                "It runs, and was told to end.", (json_media(ref(TaskDetail), running=_example(detail(_RUNNING))),)
            ),
        },
        errors=(BadRequestError, UnknownTaskError, AlreadyFinishedError, ExpiredTaskError, StoreUnavailableError),
    ),
    Operation(
        method="GET",
        path="/events",
        id="events",
        group="Tasks",
        summary="What happens, as a stream of server-sent events.",
        description=(
            "`task` has a record as a listing shows it, whenever its state changes; `progress` how far a task is;"
            " `drain` is the beginning of the stop; after a `gap` read the listings anew. `Last-Event-ID` resumes."
        ),
        query=EventsQuery,
        replies={200: DocumentedReply("A stream without an end.", (Media("text/event-stream", {"type": "string"}),))},
        errors=(BadRequestError, TooManyStreamsError),
    ),
    Operation(
        method="GET",
        path="/handlers",
        id="list_handlers",
        group="Server",
        summary="List what can run tasks here, and the JSON Schema of each one's params.",
        replies={
            200: DocumentedReply("All handlers, by name.", (json_media({"type": "array", "items": ref(HandlerView)}),))
        },
    ),
    Operation(
        method="GET",
        path="/livez",
        id="live",
        group="Server",
        summary="Whether the process answers.",
        replies={200: DocumentedReply("It does.", (json_media(ref(Alive), alive=_example(Alive())),))},
    ),
    Operation(
        method="GET",
        path="/readyz",
        id="ready",
        group="Server",
        summary="Whether tasks are taken, and what the executor is doing.",
        replies={
            200: DocumentedReply("Tasks are taken.", (json_media(ref(Situation)),)),
            503: DocumentedReply("The stop has begun, or nothing can be written.", (problem_media(NotReadyProblem),)),
        },
    ),
    Operation(
        method="GET",
        path="/metrics",
        id="metrics",
        group="Server",
        summary="Metrics for Prometheus.",
        replies={
            200: DocumentedReply(
                "In OpenMetrics when `Accept` asks for it.",
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
        summary="What went through in the last 15 minutes.",
        replies={200: DocumentedReply("The intervals in which something happened.", (json_media(ref(TimelineView)),))},
    ),
    Operation(
        method="GET",
        path="/nodes",
        id="nodes",
        group="Server",
        summary="The processes that share the store.",
        description="An empty list when nobody shares it.",
        replies={
            200: DocumentedReply(
                "In the order in which they will be taken for dead.",
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
        description="It goes on after this reply; asking again changes nothing.",
        replies={202: DocumentedReply("It has begun.", (json_media(ref(Situation)),))},
    ),
    Operation(
        method="GET",
        path="/openapi.json",
        id="openapi",
        group="Server",
        summary="This document.",
        replies={200: DocumentedReply("OpenAPI 3.1.", (json_media({"type": "object"}),))},
    ),
    Operation(
        method="GET",
        path="/docs",
        id="docs",
        group="Server",
        summary="This document, to be read.",
        replies={200: DocumentedReply("A page.", (Media("text/html", {"type": "string"}),))},
    ),
    Operation(
        method="GET",
        path="/docs/style.css",
        id="docs_style",
        group="Server",
        summary="How that page looks.",
        replies={200: DocumentedReply("A style sheet.", (Media("text/css", {"type": "string"}),))},
    ),
)
"""Every route, in the order in which they are shown."""
