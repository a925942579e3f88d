"""The table of routes. A row declares a route once, for both servers, the gate and the documentation.

A new route is one row here and one function that answers. Each row with a ``doc`` is in the OpenAPI document, in this
order. ``api/route.py`` says what the fields of a row mean, and ``docs/reference.py`` holds the longer texts.
"""

from __future__ import annotations

from typing import Final

from ..errors import (
    AlreadyFinishedError,
    AlreadyStartedError,
    ExpiredTaskError,
    InvalidCursorError,
    InvalidTaskError,
    StoreUnavailableError,
    UnknownTaskError,
)
from ..handlers.catalogue import HandlerView
from .access.session_answers import SessionAnswers
from .api.decode import Change
from .api.errors import (
    BadRequestError,
    RequestTimeoutError,
    TooLargeError,
    TooManyStreamsError,
    UnsupportedMediaTypeError,
)
from .api.events import EventAnswers, EventsQuery
from .api.metrics import MetricsAnswers
from .api.ops import Alive, NodeView, NotReadyProblem, OpsAnswers, Situation, TimelineView
from .api.route import Doc, Media, Route, RouteTable
from .api.tasks import NoQuery, PageQuery, ShowQuery, SubmitQuery, TaskAnswers, TasksQuery
from .api.wire import TaskDetail
from .dashboard.answers import DashboardAnswers
from .docs.openapi import json_media, problem_media
from .docs.page import DocsAnswers
from .docs.reference import CANCELLED, PAGE, SHOWN, SUBMIT, SUBMIT_BODY, json_of, list_of, reply

TASKS: Final = "/tasks"
TASK: Final = "/tasks/{id}"
SESSION: Final = "/session"


def _listing(name: str, summary: str) -> Doc:
    return Doc(name, "Tasks", summary, {200: PAGE}, (BadRequestError, InvalidCursorError))


ROUTES: Final = (
    Route(
        "POST",
        TASKS,
        scope="submit",
        answer=TaskAnswers.submit,
        query=SubmitQuery,
        body=SUBMIT_BODY,
        prompt=True,
        doc=SUBMIT,
    ),
    Route(
        "GET",
        TASKS,
        scope="read",
        answer=TaskAnswers.every_state,
        query=TasksQuery,
        prompt=True,
        doc=_listing("list_tasks", "List tasks: scheduled, pending, running, then finished."),
    ),
    Route(
        "GET",
        "/tasks/pending",
        scope="read",
        answer=TaskAnswers.pending,
        query=PageQuery,
        prompt=True,
        doc=_listing("list_pending", "List pending tasks, in start order."),
    ),
    Route(
        "GET",
        "/tasks/running",
        scope="read",
        answer=TaskAnswers.running,
        query=PageQuery,
        prompt=True,
        doc=_listing("list_running", "List running tasks, by start time."),
    ),
    Route(
        "GET",
        "/tasks/finished",
        scope="read",
        answer=TaskAnswers.finished,
        query=PageQuery,
        prompt=True,
        doc=_listing("list_finished", "List finished tasks whose records are kept, the latest first."),
    ),
    Route(
        "GET",
        TASK,
        scope="read",
        answer=TaskAnswers.show,
        query=ShowQuery,
        prompt=True,
        doc=Doc(
            "show_task",
            "Tasks",
            "Show a task's record, or wait for its outcome.",
            {200: SHOWN},
            (BadRequestError, UnknownTaskError, ExpiredTaskError),
        ),
    ),
    Route(
        "PATCH",
        TASK,
        scope="submit",
        answer=TaskAnswers.change,
        query=NoQuery,
        body=(json_media(json_of(Change).schema, urgent={"priority": 50}),),
        prompt=True,
        doc=Doc(
            "change_task",
            "Tasks",
            "Change the priority of a waiting task.",
            {200: reply("The changed record.", json_of(TaskDetail))},
            (
                *(BadRequestError, InvalidTaskError, UnknownTaskError, RequestTimeoutError, AlreadyFinishedError),
                *(AlreadyStartedError, ExpiredTaskError, TooLargeError),
                *(UnsupportedMediaTypeError, StoreUnavailableError),
            ),
            body_description="The new priority.",
        ),
    ),
    Route(
        "DELETE",
        TASK,
        scope="submit",
        answer=TaskAnswers.cancel,
        query=NoQuery,
        prompt=True,
        doc=Doc(
            "cancel_task",
            "Tasks",
            "Cancel a task.",
            CANCELLED,
            (BadRequestError, UnknownTaskError, AlreadyFinishedError, ExpiredTaskError, StoreUnavailableError),
            description="The record of the task is kept, with its outcome.",
        ),
    ),
    Route(
        "GET",
        "/events",
        scope="read",
        answer=EventAnswers.events,
        query=EventsQuery,
        doc=Doc(
            "events",
            "Tasks",
            "Follow tasks as a stream of server-sent events.",
            {200: reply("A stream that ends with the server.", Media("text/event-stream", {"type": "string"}))},
            (BadRequestError, TooManyStreamsError),
            description=(
                "`task` has a record as listings show it, at each change of its state. `progress` has the progress of a"
                " running task. `drain` means that the stop has begun. `gap` means that events were missed: read the"
                " listings again. Send `Last-Event-ID` to resume a stream."
            ),
        ),
    ),
    Route(
        "GET",
        "/handlers",
        scope="read",
        answer=TaskAnswers.handlers,
        prompt=True,
        doc=Doc(
            "list_handlers",
            "Server",
            "List the handlers, each with the JSON Schema of its params.",
            {200: reply("All handlers, by name.", list_of(HandlerView))},
        ),
    ),
    Route(
        "GET",
        "/livez",
        scope="open",
        answer=OpsAnswers.livez,
        prompt=True,
        doc=Doc(
            "live",
            "Server",
            "Check whether the process answers.",
            {200: reply("The process answers.", json_of(Alive, alive=Alive()))},
        ),
    ),
    Route(
        "GET",
        "/readyz",
        scope="open",  # the answer holds statistics only for callers with the scope `read`
        answer=OpsAnswers.readyz,
        prompt=True,
        doc=Doc(
            "ready",
            "Server",
            "Check whether tasks are accepted, and show the statistics of the executor.",
            {
                200: reply("Tasks are accepted.", json_of(Situation)),
                503: reply("The stop has begun, or the store cannot be written.", problem_media(NotReadyProblem)),
            },
        ),
    ),
    Route(
        "GET",
        "/metrics",
        scope="read",
        answer=MetricsAnswers.metrics,
        prompt=True,
        doc=Doc(
            "metrics",
            "Server",
            "Show metrics for Prometheus.",
            {
                200: reply(
                    "The metrics, in OpenMetrics if `Accept` asks for it.",
                    Media("text/plain", {"type": "string"}),
                    Media("application/openmetrics-text", {"type": "string"}),
                )
            },
        ),
    ),
    Route(
        "GET",
        "/statistics/history",
        scope="read",
        answer=OpsAnswers.history,
        prompt=True,
        doc=Doc(
            "history",
            "Server",
            "Show the throughput of the last 15 minutes.",
            {200: reply("The intervals in which something happened.", json_of(TimelineView))},
        ),
    ),
    Route(
        "GET",
        "/nodes",
        scope="read",
        answer=OpsAnswers.nodes,
        prompt=True,
        doc=Doc(
            "nodes",
            "Server",
            "List the processes that share the store.",
            {200: reply("The nodes, ordered by the ends of their leases.", list_of(NodeView))},
            description="The list is empty if the store is not a shared one.",
        ),
    ),
    Route(
        "POST",
        "/drain",
        scope="admin",
        answer=OpsAnswers.drain,
        prompt=True,
        doc=Doc(
            "drain",
            "Server",
            "Begin the stop.",
            {202: reply("The stop has begun.", json_of(Situation))},
            description="The stop continues after this reply. Further requests change nothing.",
        ),
    ),
    Route(
        "GET",
        "/openapi.json",
        scope="read",  # the document shows the handlers, as does the page
        answer=DocsAnswers.openapi,
        prompt=True,
        doc=Doc(
            "openapi",
            "Server",
            "Show this document.",
            {200: reply("An OpenAPI 3.1 document.", json_media({"type": "object"}))},
        ),
    ),
    Route(
        "GET",
        "/docs",
        scope="read",
        answer=DocsAnswers.docs,
        prompt=True,
        doc=Doc(
            "docs",
            "Server",
            "Show this document as a page for people.",
            {200: reply("An HTML page.", Media("text/html", {"type": "string"}))},
        ),
    ),
    Route(
        "GET",
        "/docs/style.css",
        scope="open",
        answer=DocsAnswers.style,
        prompt=True,
        doc=Doc(
            "docs_style",
            "Server",
            "Show the style sheet of that page.",
            {200: reply("A style sheet.", Media("text/css", {"type": "string"}))},
        ),
    ),
    Route("GET", "/", scope="open", answer=DashboardAnswers.page),
    Route("GET", "/dashboard/{file}", scope="open", answer=DashboardAnswers.file),
    Route("POST", SESSION, scope="open", answer=SessionAnswers.sign_in),
    Route("GET", SESSION, scope="read", answer=SessionAnswers.show_session),
    Route("DELETE", SESSION, scope="open", answer=SessionAnswers.sign_out),
)

TABLE: Final = RouteTable(ROUTES)

NEEDS: Final = TABLE.scopes
"""The scope that each route needs, by its rule."""
