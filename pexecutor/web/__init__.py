"""The HTTP face of an executor: ``create_app(executor, config)`` makes the app; who calls it serves it."""

from __future__ import annotations

from quart import Response
from quart_trio import QuartTrio

from ..config import Config
from ..executor import Executor
from .connection import Connection, StreamedRequest, current_request
from .dashboard import DashboardRoutes
from .docs import DocsRoutes
from .errors import register_errors
from .events import EventRoutes
from .gate import Gate
from .metrics import MetricsRoutes
from .ops import OpsRoutes
from .session import SessionRoutes
from .tasks import TaskRoutes
from .wire import problem_response


def create_app(executor: Executor, config: Config) -> QuartTrio:
    """An ASGI app that speaks for this executor; it neither runs nor stops it.

    Parameters:
        executor: whose tasks these are.
        config: the limits, and who may do what.

    Raises:
        ConfigError: a token or a host that the settings name cannot be used.
    """
    app = QuartTrio("pexecutor", static_folder=None)
    app.asgi_http_class = Connection
    app.request_class = StreamedRequest
    app.config["MAX_CONTENT_LENGTH"] = None  # the routes read their bodies, each with its own bound
    app.config["RESPONSE_TIMEOUT"] = None  # a slow reader is the listener's matter
    app.url_map.merge_slashes = False  # it would redirect
    gate = Gate(config)
    app.before_request(_refuse_ambiguous_length)
    app.before_request(gate.check)
    TaskRoutes(executor, config).add_to(app)
    OpsRoutes(executor).add_to(app)
    EventRoutes(executor, config).add_to(app)
    DashboardRoutes().add_to(app)
    SessionRoutes(gate, config).add_to(app)
    MetricsRoutes(executor).add_to(app)
    DocsRoutes(executor, config).add_to(app)
    register_errors(app)
    return app


async def _refuse_ambiguous_length() -> Response | None:
    """RFC 9112, section 6.1: it may be an attempt to smuggle a request, so the connection ends with it."""
    if not current_request().has_ambiguous_length:
        return None
    return problem_response(400, "send Content-Length or Transfer-Encoding, not both", headers={"Connection": "close"})
