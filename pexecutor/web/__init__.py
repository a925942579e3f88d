"""The HTTP face of an executor: ``create_app(executor, config)`` makes the app; who calls it serves it."""

from __future__ import annotations

from typing import NamedTuple

from quart import Response
from quart_trio import QuartTrio

from ..config import Config
from ..core.executor import Executor
from .access.gate import Gate
from .access.session_routes import SessionRoutes
from .api.errors import register_errors
from .api.events import EventRoutes
from .api.metrics import MetricsRoutes
from .api.ops import OpsRoutes
from .api.reply import problem_response
from .api.tasks import TaskAnswers
from .dashboard.routes import DashboardRoutes
from .docs.page import DocsRoutes
from .fast import HotRoutes, make_fast
from .serving.hot_first import HotFirst
from .serving.hypercorn import Hypercorn
from .serving.listener import Http
from .serving.quart_app import Connection, StreamedRequest, current_request
from .serving.task_routes import TaskRoutes


class Web(NamedTuple):
    """An ASGI app, and what a listener may ask without it."""

    app: QuartTrio
    hot: HotRoutes


def create_app(executor: Executor, config: Config) -> QuartTrio:
    """An ASGI app that speaks for this executor; it neither runs nor stops it. See ``create_web``."""
    return create_web(executor, config).app


def create_web(executor: Executor, config: Config) -> Web:
    """The same with its parts.

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
    answers = TaskAnswers(executor, config)
    TaskRoutes(answers).add_to(app)
    OpsRoutes(executor).add_to(app)
    EventRoutes(executor, config).add_to(app)
    DashboardRoutes().add_to(app)
    SessionRoutes(gate, config).add_to(app)
    MetricsRoutes(executor).add_to(app)
    DocsRoutes(executor, config).add_to(app)
    register_errors(app)
    hot = HotRoutes(gate, answers)
    app.asgi_app = HotFirst(app.asgi_app, hot)  # type: ignore[method-assign]
    return Web(app, hot)


async def _refuse_ambiguous_length() -> Response | None:
    """RFC 9112, section 6.1: it may be an attempt to smuggle a request, so the connection ends with it."""
    if not current_request().has_ambiguous_length:
        return None
    return problem_response(400, "send Content-Length or Transfer-Encoding, not both", headers={"Connection": "close"})


def make_http(web: Web, config: Config) -> Http:
    """What speaks HTTP for this app, as the settings say.

    Raises:
        ConfigError: it is not installed.
    """
    if config.server == "fast":
        return make_fast(web.app, web.hot, idle_seconds_max=config.request_timeout_seconds)
    return Hypercorn(web.app, idle_seconds_max=config.request_timeout_seconds)
