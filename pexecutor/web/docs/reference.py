"""The texts and examples of the OpenAPI document: its frame, and the documentation of each route (``routes.py``).

Examples are real. A test sends those of requests to a server. The examples of replies are built by the code that builds
replies.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ...core.bulk import BulkResult
from ...errors import (
    AlreadyFinishedError,
    AlreadyStartedError,
    ConfigError,
    ExpiredTaskError,
    FieldError,
    InvalidCursorError,
    InvalidTaskError,
    NotServingError,
    StoreUnavailableError,
    UnknownTaskError,
)
from ...observe.events import Reloaded
from ...task import Attempt, Ending, Finished, Outcome, Pending, Running, Task, make_serial
from ..api.bulk import BulkBody
from ..api.decode import Change
from ..api.errors import BadSignatureError, KeyReusedError, KeyUnderWayError, TooManyStreamsError, UnknownHookError
from ..api.hooks.answers import SkippedDelivery
from ..api.hooks.hook import FORM_TYPE
from ..api.idempotency import HEADER
from ..api.limit_wire import HandlerState
from ..api.ops import Alive, NodeView, NotReadyProblem, Situation, TimelineView
from ..api.reply import problem
from ..api.route import Doc, DocumentedReply, Media
from ..api.submit import HeldProblem, SubmitProblem
from ..api.wire import EXAMPLE_AT, BatchReply, Problem, TaskDetail, TaskVerdict, TaskView, detail, timestamp, view
from .openapi import NDJSON, problem_media
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
        {"name": "Schedules", "description": "Submit tasks at set times: by a cron expression, or at an interval."},
        {"name": "Server", "description": "The handlers, the state and the metrics of the server."},
    ],
    "headers": {
        "Retry-After": {
            "description": "After how many seconds to try again, estimated from the measured finish rate.",
            "required": True,
            "schema": {"type": "integer", "minimum": 1, "maximum": 60},
        },
        "Location": {
            "description": "The path of the task's record, or of the schedule; absent in the reply to a list.",
            "schema": {"type": "string", "format": "uri-reference"},
        },
        "Content-Range": {
            "description": "The range of the bytes in the reply, and the number of bytes of the whole output.",
            "schema": {"type": "string"},
        },
        "Pexecutor-Log-Node": {
            "description": "The server that keeps the whole log; absent if this server keeps it.",
            "schema": {"type": "string"},
        },
        "Pexecutor-Log-Reason": {
            "description": "Why the reply does not have the whole log, if the server knows why.",
            "schema": {"type": "string"},
        },
        "Link": {
            "description": 'The path of the next page, with `rel="next"`; absent on the last page.',
            "schema": {"type": "string"},
        },
    },
}

# Examples

_TASK: Final = Task("report", duration=2000)
_SERIAL: Final = make_serial(0xA3F09C, 42)
_PENDING: Final = Pending(_SERIAL, _TASK, EXAMPLE_AT, ())
_RUNNING: Final = Running(_SERIAL, _TASK, EXAMPLE_AT, (), EXAMPLE_AT + 0.5)
_ENDED: Final = Finished(
    *(
        _SERIAL,
        _TASK,
        EXAMPLE_AT,
        (Attempt(EXAMPLE_AT + 0.5, EXAMPLE_AT + 2.5, Outcome.SUCCEEDED, None),),
        EXAMPLE_AT + 2.5,
    ),
    Ending(Outcome.SUCCEEDED, result=b"null"),
)
_CANCELLED: Final = Finished(_SERIAL, _TASK, EXAMPLE_AT, (), EXAMPLE_AT + 0.3, Ending(Outcome.CANCELLED))


def _example(content: Any) -> Any:
    """Return the content of a reply as plain JSON values."""
    return msgspec.json.decode(content if isinstance(content, bytes) else msgspec.json.encode(content))


_BATCH: Final = BatchReply(
    2, 1, 1, 0, [TaskVerdict(1, "report", "duplicate", _PENDING.id, _RUNNING.state, timestamp(EXAMPLE_AT))]
)
_FULL: Final = problem(
    429,
    "the queue has no room for 1 task: try again later",
    msgspec.to_builtins(BatchReply(2, 1, 0, 1, [TaskVerdict(1, "late", "full")])),
)
_INVALID: Final = problem(400, "`name` is required", {"errors": [FieldError(0, "name", "`name` is required")]})
_HELD: Final = problem(409, f"the name 'report' is held by the running task {_RUNNING.id}", {"holder": view(_RUNNING)})

# Parts of the documentation of a route


def _reply(description: str, *media: Media) -> DocumentedReply:
    return DocumentedReply(description, media)


def _json(schema: type[msgspec.Struct] | JsonObject, **examples: Any) -> Media:
    """Return a JSON body, with examples that are shown as the wire shows them."""
    shown = {title: _example(value) for title, value in examples.items()}
    return Media("application/json", schema if isinstance(schema, dict) else ref(schema), shown)


def _list(kind: type[msgspec.Struct], **examples: Any) -> Media:
    return _json({"type": "array", "items": ref(kind)}, **examples)


def _text(media_type: str) -> Media:
    return Media(media_type, {"type": "string"})


def _listing(name: str, summary: str) -> Doc:
    page = _reply("A page of records; `Link` has the path of the next page.", _list(TaskView, page=[view(_PENDING)]))
    return Doc("Tasks", name, summary, {200: msgspec.structs.replace(page, headers=("Link",))}, (InvalidCursorError,))


def _submit_problem(description: str, *headers: str, **examples: Any) -> DocumentedReply:
    return DocumentedReply(description, (problem_media(SubmitProblem, **examples),), headers)


# Tasks

_ACCEPTED: Final = DocumentedReply(
    "The task was accepted.",
    (_json(TaskDetail, accepted=detail(_PENDING)),),
    ("Location",),
    ("show_task", "cancel_task"),
)

SUBMIT_BODY: Final = (
    _json(
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
    "Tasks",
    "submit_tasks",
    "Submit one task, a list of them, or a stream.",
    {
        200: DocumentedReply(
            "A list or a stream: each task was accepted or is a duplicate. One task, with `wait`: the task has ended.",
            (_json({"anyOf": [ref(BatchReply), ref(TaskDetail)]}, reply=_BATCH),),
            ("Location",),
        ),
        202: msgspec.structs.replace(_ACCEPTED, description="One task: the task was accepted."),
        400: _submit_problem("A parameter, the body or a task is invalid.", faults=_example(_INVALID)),
        408: _submit_problem("The body did not arrive in time."),
        409: _reply(
            "One task: another task holds its name. With an `Idempotency-Key`: the first request with this key is under"
            " way.",
            problem_media(HeldProblem, held=_example(_HELD)),
        ),
        413: _submit_problem("The body, the list or a line of a stream is over the limit."),
        429: _submit_problem(
            "The queue has no room for some of the tasks; what was accepted stays accepted.",
            "Retry-After",
            full=_example(_FULL),
        ),
        503: _submit_problem(
            "The server is stopping and accepts no tasks, or its store accepts no changes; try another server,"
            " or try later.",
            "Retry-After",
        ),
    },
    (InvalidTaskError, StoreUnavailableError, KeyUnderWayError, KeyReusedError),
    description=(
        "The body is one object or a list as JSON, or a stream of any length with one task on each line. If two"
        " tasks of a list have the same name, the first one wins. A list with an invalid task is refused as a"
        " whole. A stream is accepted up to the invalid line. While the queue is full, the server stops reading"
        " the stream."
    ),
    body_description="One task, a list of tasks, or one task on each line.",
    request_headers=(HEADER,),
)

TASKS: Final = _listing("list_tasks", "List tasks: scheduled, pending, running, then finished.")
PENDING: Final = _listing("list_pending", "List pending tasks, in start order.")
RUNNING: Final = _listing("list_running", "List running tasks, by start time.")
FINISHED: Final = _listing("list_finished", "List finished tasks whose records are kept, the latest first.")

SHOW: Final = Doc(
    "Tasks",
    "show_task",
    "Show a task's record, or wait for its outcome.",
    {200: _reply("The record with all its fields.", _json(TaskDetail, finished=detail(_ENDED)))},
    (UnknownTaskError, ExpiredTaskError),
)

CHANGE_BODY: Final = (
    _json(Change, urgent={"priority": 50, "run_at": "now"}, later={"run_at": "2030-01-31T08:00:00Z"}),
)

CHANGE: Final = Doc(
    "Tasks",
    "change_task",
    "Change the priority or the time of a waiting task.",
    {200: _reply("The changed record.", _json(TaskDetail))},
    (
        *(InvalidTaskError, UnknownTaskError, AlreadyFinishedError, AlreadyStartedError, ExpiredTaskError),
        StoreUnavailableError,
    ),
    body_description="The new priority, the new time, or both.",
)

CANCEL: Final = Doc(
    "Tasks",
    "cancel_task",
    "Cancel a task.",
    {
        200: _reply("The task has ended.", _json(TaskDetail, cancelled=detail(_CANCELLED))),
        202: _reply(
            "The task is running and has been cancelled; it has yet to end.",
            _json(TaskDetail, running=detail(_RUNNING)),
        ),
    },
    (UnknownTaskError, AlreadyFinishedError, ExpiredTaskError, StoreUnavailableError),
    description="The record of the task is kept, with its outcome.",
)

BULK_BODY: Final = (
    _json(
        BulkBody,
        cancel={"action": "cancel", "filter": {"name_prefix": "import-"}, "dry_run": True},
        retry={"action": "retry", "filter": {"outcome": "failed", "finished_since": "2030-01-31T00:00:00Z"}},
        priority={"action": "priority", "filter": {"tag": ["nightly"]}, "priority": -10, "max": 100_000},
    ),
)

BULK: Final = Doc(
    "Tasks",
    "act_on_tasks",
    "Cancel, retry or change all tasks that a filter matches.",
    {200: _reply("What was done.", _json(BulkResult, cancelled=BulkResult(2, 1, 1, ids=[_PENDING.id, _RUNNING.id])))},
    (InvalidTaskError, StoreUnavailableError),
    description=(
        "Only tasks that were accepted before the request are concerned. They are changed in steps, each of which is"
        " done as a whole. A client that leaves stops the bulk before its next step. A retry submits a finished task"
        " again without its delay, waits for room in the queue, and leaves out tasks whose name is held."
    ),
    body_description="The action, the filter and the bounds.",
)

HOOK_BODY: Final = (
    _json({"type": "object"}, push={"ref": "refs/heads/main", "repository": {"name": "shop"}}),
    Media(FORM_TYPE, {"type": "object"}, {"form": {"event": "paid"}}),
)

HOOK: Final = Doc(
    "Tasks",
    "receive_delivery",
    "Receive a delivery of another system, which submits a declared task.",
    {
        200: _reply("The delivery is valid and submitted no task.", _json(SkippedDelivery)),
        202: _ACCEPTED,
        429: DocumentedReply("The queue is full.", (problem_media(Problem),), ("Retry-After",)),
    },
    (BadSignatureError, UnknownHookError, InvalidTaskError, StoreUnavailableError),
    description=(
        "The signature of the delivery authenticates it, as the scheme of the hook says. A token is neither needed nor"
        " read."
    ),
    body_description="The delivery, as its sender has signed it.",
)

EVENTS: Final = Doc(
    "Tasks",
    "events",
    "Follow tasks as a stream of server-sent events.",
    {200: _reply("A stream that ends with the server.", _text("text/event-stream"))},
    (TooManyStreamsError,),
    description=(
        "`task` has a record as listings show it, at each change of its state. `progress` has the progress of a"
        " running task. `skipped` means that an occurrence of a schedule was skipped. `paused` and `resumed` mean"
        " that a pause of tasks has begun or ended. `drain` means that the stop has begun. `gap` means that events were"
        " missed: read the listings again. Send `Last-Event-ID` to resume"
        " a stream."
    ),
)

# The server

HANDLERS: Final = Doc(
    "Server",
    "list_handlers",
    "List the handlers, each with its params, defaults, limits, pauses, outcomes and run times.",
    {200: _reply("All handlers, by name.", _list(HandlerState))},
)

LIVE: Final = Doc(
    "Server",
    "live",
    "Check whether the process answers.",
    {200: _reply("The process answers.", _json(Alive, alive=Alive()))},
)

READY: Final = Doc(
    "Server",
    "ready",
    "Check whether tasks are accepted, and show the statistics of the executor.",
    {
        200: _reply("Tasks are accepted.", _json(Situation)),
        503: _reply("The stop has begun, or the store cannot be written.", problem_media(NotReadyProblem)),
    },
)

_METRICS: Final = (_text("text/plain"), _text("application/openmetrics-text"))

METRICS: Final = Doc(
    "Server",
    "metrics",
    "Show metrics for Prometheus.",
    {200: _reply("The metrics, in OpenMetrics if `Accept` asks for it.", *_METRICS)},
)

HISTORY: Final = Doc(
    "Server",
    "history",
    "Show the throughput of the last 15 minutes, or of up to 24 hours.",
    {200: _reply("The intervals in which something happened.", _json(TimelineView))},
)

NODES: Final = Doc(
    "Server",
    "nodes",
    "List the processes that share the store.",
    {200: _reply("The nodes, ordered by the ends of their leases.", _list(NodeView))},
    description="The list is empty if the store is not a shared one.",
)

RELOAD: Final = Doc(
    "Server",
    "reload",
    "Read the settings again.",
    {200: _reply("The settings are in effect, except those that need a restart.", _json(Reloaded))},
    (ConfigError, NotServingError),
    description="All settings are checked before any of them takes effect. If the file is invalid, nothing changes.",
)

DRAIN: Final = Doc(
    "Server",
    "drain",
    "Begin the stop.",
    {202: _reply("The stop has begun.", _json(Situation))},
    description="The stop continues after this reply. Further requests change nothing.",
)

OPENAPI: Final = Doc(
    "Server", "openapi", "Show this document.", {200: _reply("An OpenAPI 3.1 document.", _json({"type": "object"}))}
)

DOCS: Final = Doc(
    "Server", "docs", "Show this document as a page for people.", {200: _reply("An HTML page.", _text("text/html"))}
)

DOCS_STYLE: Final = Doc(
    "Server", "docs_style", "Show the style sheet of that page.", {200: _reply("A style sheet.", _text("text/css"))}
)
