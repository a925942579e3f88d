"""The table of routes. A row declares a route once, for both servers, the gate and the documentation.

A new route is one row here and one function that answers. Each row with a ``doc`` is in the OpenAPI document, in this
order. ``api/route.py`` says what the fields of a row mean, and ``docs/reference.py`` has the texts.
"""

from __future__ import annotations

from typing import Final

from .access.session_answers import SessionAnswers
from .api.bulk import BulkAnswers
from .api.events import EventAnswers
from .api.filters import FilterQuery
from .api.hooks.answers import HookAnswers
from .api.limits import LimitAnswers
from .api.logs import LogAnswers, LogQuery
from .api.metrics import MetricsAnswers
from .api.ops import HistoryQuery, OpsAnswers
from .api.reload import ReloadAnswers
from .api.route import Route, RouteTable
from .api.schedules import RemoveQuery, ScheduleAnswers, SchedulesQuery
from .api.submit import SubmitAnswers, SubmitQuery
from .api.tasks import NoQuery, PageQuery, ShowQuery, TaskAnswers, TasksQuery
from .dashboard.answers import DashboardAnswers
from .docs import limit_reference as limit_docs
from .docs import log_reference as log_docs
from .docs import reference as docs
from .docs import schedule_reference as schedule_docs
from .docs.page import DocsAnswers

TASKS: Final = "/tasks"
TASK: Final = "/tasks/{id}"
SCHEDULE: Final = "/schedules/{name}"
SESSION: Final = "/session"

ROUTES: Final = (
    Route(
        "POST",
        TASKS,
        scope="submit",
        answer=SubmitAnswers.submit,
        query=SubmitQuery,
        body=docs.SUBMIT_BODY,
        doc=docs.SUBMIT,
    ),
    Route("GET", TASKS, scope="read", answer=TaskAnswers.every_state, query=TasksQuery, doc=docs.TASKS),
    Route("GET", "/tasks/pending", scope="read", answer=TaskAnswers.pending, query=PageQuery, doc=docs.PENDING),
    Route("GET", "/tasks/running", scope="read", answer=TaskAnswers.running, query=PageQuery, doc=docs.RUNNING),
    Route("GET", "/tasks/finished", scope="read", answer=TaskAnswers.finished, query=PageQuery, doc=docs.FINISHED),
    Route(
        "POST",
        "/tasks/bulk",
        scope="submit",
        answer=BulkAnswers.act,
        query=NoQuery,
        body=docs.BULK_BODY,
        prompt=False,  # it may take seconds
        doc=docs.BULK,
    ),
    Route("GET", TASK, scope="read", answer=TaskAnswers.show, query=ShowQuery, doc=docs.SHOW),
    Route(
        "PATCH", TASK, scope="submit", answer=TaskAnswers.change, query=NoQuery, body=docs.CHANGE_BODY, doc=docs.CHANGE
    ),
    Route("GET", "/tasks/{id}/why", scope="read", answer=LimitAnswers.why, query=NoQuery, doc=limit_docs.WHY),
    Route(
        "GET",
        "/tasks/{id}/log",
        scope="read",
        answer=LogAnswers.show,
        query=LogQuery,
        prompt=False,
        doc=log_docs.LOG,
    ),
    Route("DELETE", TASK, scope="submit", answer=TaskAnswers.cancel, query=NoQuery, doc=docs.CANCEL),
    Route(
        "GET",
        "/schedules",
        scope="read",
        answer=ScheduleAnswers.every_schedule,
        query=SchedulesQuery,
        prompt=False,  # a long page takes a while
        doc=schedule_docs.LIST,
    ),
    Route("GET", SCHEDULE, scope="read", answer=ScheduleAnswers.show, query=NoQuery, doc=schedule_docs.SHOW),
    Route(
        "PUT",
        SCHEDULE,
        scope="submit",
        answer=ScheduleAnswers.put,
        query=NoQuery,
        body=schedule_docs.PUT_BODY,
        doc=schedule_docs.PUT,
    ),
    Route(
        "PATCH",
        SCHEDULE,
        scope="submit",
        answer=ScheduleAnswers.change,
        query=NoQuery,
        body=schedule_docs.PAUSE_BODY,
        doc=schedule_docs.CHANGE,
    ),
    Route(
        "DELETE", SCHEDULE, scope="submit", answer=ScheduleAnswers.remove, query=RemoveQuery, doc=schedule_docs.REMOVE
    ),
    Route(
        "POST",
        "/schedules/{name}/run",
        scope="submit",
        answer=ScheduleAnswers.run,
        query=NoQuery,
        doc=schedule_docs.RUN,
    ),
    Route("POST", "/hooks/{name}", scope="signed", answer=HookAnswers.receive, body=docs.HOOK_BODY, doc=docs.HOOK),
    Route("GET", "/events", scope="read", answer=EventAnswers.events, query=FilterQuery, prompt=False, doc=docs.EVENTS),
    Route("POST", "/pause", scope="admin", answer=LimitAnswers.pause, query=NoQuery, doc=limit_docs.PAUSE),
    Route("POST", "/resume", scope="admin", answer=LimitAnswers.resume, query=NoQuery, doc=limit_docs.RESUME),
    Route(
        "POST",
        "/handlers/{name}/pause",
        scope="admin",
        answer=LimitAnswers.pause_handler,
        query=NoQuery,
        doc=limit_docs.PAUSE_HANDLER,
    ),
    Route(
        "POST",
        "/handlers/{name}/resume",
        scope="admin",
        answer=LimitAnswers.resume_handler,
        query=NoQuery,
        doc=limit_docs.RESUME_HANDLER,
    ),
    Route("GET", "/handlers", scope="read", answer=LimitAnswers.handlers, doc=docs.HANDLERS),
    Route("GET", "/livez", scope="open", answer=OpsAnswers.livez, anywhere=True, doc=docs.LIVE),
    # The reply holds statistics only for callers with the scope `read`.
    Route("GET", "/readyz", scope="open", answer=OpsAnswers.readyz, anywhere=True, doc=docs.READY),
    Route("GET", "/metrics", scope="read", answer=MetricsAnswers.metrics, doc=docs.METRICS),
    Route("GET", "/statistics/history", scope="read", answer=OpsAnswers.history, query=HistoryQuery, doc=docs.HISTORY),
    Route("GET", "/nodes", scope="read", answer=OpsAnswers.nodes, doc=docs.NODES),
    Route("POST", "/reload", scope="admin", answer=ReloadAnswers.reload, prompt=False, doc=docs.RELOAD),
    Route("POST", "/drain", scope="admin", answer=OpsAnswers.drain, doc=docs.DRAIN),
    # The document and the page show the handlers.
    Route("GET", "/openapi.json", scope="read", answer=DocsAnswers.openapi, doc=docs.OPENAPI),
    Route("GET", "/docs", scope="read", answer=DocsAnswers.docs, doc=docs.DOCS),
    Route("GET", "/docs/style.css", scope="open", answer=DocsAnswers.style, doc=docs.DOCS_STYLE),
    # For browsers: the framework handles conditional requests and replies without a body.
    Route("GET", "/", scope="open", answer=DashboardAnswers.overview, prompt=False),
    Route("GET", "/ui", scope="open", answer=DashboardAnswers.overview_below, prompt=False),
    Route("GET", "/ui/{page}", scope="open", answer=DashboardAnswers.page, prompt=False),
    Route("GET", "/ui/{page}/{item}", scope="open", answer=DashboardAnswers.item, prompt=False),
    Route("GET", "/ui/static/{version}/{folder}/{file}", scope="open", answer=DashboardAnswers.file, prompt=False),
    Route("POST", SESSION, scope="open", answer=SessionAnswers.sign_in, prompt=False),
    Route("GET", SESSION, scope="read", answer=SessionAnswers.show_session, prompt=False),
    Route("DELETE", SESSION, scope="open", answer=SessionAnswers.sign_out, prompt=False),
)

TABLE: Final = RouteTable(ROUTES)
