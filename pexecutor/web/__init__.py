"""The HTTP API of an executor: ``create_app(executor, config)`` makes the app, and the caller serves it."""

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
from .fast import HotRoutes, Submits, make_fast
from .serving.hot_first import HotFirst
from .serving.hypercorn import Hypercorn
from .serving.listener import Http
from .serving.quart_app import Connection, StreamedRequest, current_request
from .serving.task_routes import TaskRoutes


class Web(NamedTuple):
    """An ASGI app, and what a listener may call without it: the hot routes, and the steps of a submit."""

    app: QuartTrio
    hot: HotRoutes
    submits: Submits


def create_app(executor: Executor, config: Config) -> QuartTrio:
    """Return an ASGI app for this executor; the app neither runs nor stops it. See ``create_web``."""
    return create_web(executor, config).app


def create_web(executor: Executor, config: Config) -> Web:
    """Return an ASGI app for this executor, together with its hot routes.

    Parameters:
        executor: the executor that runs the tasks.
        config: the limits, tokens and allowed hosts.

    Raises:
        ConfigError: a token or a host in the settings cannot be used.
    """
    app = QuartTrio("pexecutor", static_folder=None)
    app.asgi_http_class = Connection
    app.request_class = StreamedRequest
    app.config["MAX_CONTENT_LENGTH"] = None  # each route reads its own body, with its own limit
    app.config["RESPONSE_TIMEOUT"] = None  # the listener drops slow readers
    app.url_map.merge_slashes = False  # otherwise `//drain` would be redirected to `/drain`
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
    return Web(app, hot, Submits(gate, answers, hot.is_submit))


async def _refuse_ambiguous_length() -> Response | None:
    """Refuse a request with both Content-Length and Transfer-Encoding.

    The request may be an attempt to smuggle another one (RFC 9112, section 6.1), so the connection is closed.
    """
    if not current_request().has_ambiguous_length:
        return None
    return problem_response(400, "send Content-Length or Transfer-Encoding, not both", headers={"Connection": "close"})


def make_http(web: Web, config: Config) -> Http:
    """Return the HTTP implementation that the setting ``server`` selects.

    Raises:
        ConfigError: the implementation is not installed.
    """
    if config.server == "fast":
        return make_fast(web.app, web.hot, web.submits, idle_seconds_max=config.request_timeout_seconds)
    return Hypercorn(web.app, idle_seconds_max=config.request_timeout_seconds)
