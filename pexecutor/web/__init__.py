"""The HTTP API of an executor: ``create_app(executor, config)`` makes the app, and the caller serves it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import NamedTuple

from quart_trio import QuartTrio

from ..config import Config
from ..core.executor import Executor
from ..handlers import Catalogue
from .access.gate import Gate, access_rules
from .access.proxies import Proxies
from .access.session_answers import SessionAnswers
from .api.bulk import BulkAnswers
from .api.events import EventAnswers
from .api.hooks.answers import HookAnswers, load_hooks
from .api.limits import LimitAnswers
from .api.logs import LogAnswers
from .api.metrics import MetricsAnswers
from .api.ops import OpsAnswers
from .api.reload import ReloadAnswers
from .api.route import RouteTable
from .api.schedules import ScheduleAnswers
from .api.submit import SubmitAnswers
from .api.tasks import TaskAnswers
from .dashboard.answers import DashboardAnswers
from .docs.page import DocsAnswers
from .fast import PromptRoutes, Submits, make_fast
from .routes import TABLE
from .serving.adapter import App
from .serving.answering import Answering
from .serving.hypercorn import Hypercorn
from .serving.listener import Http


class Web(NamedTuple):
    """An ASGI app, and what a listener may call without the app: prompt routes and the steps of a submit.

    The other fields are the parts of the app that a reload changes. Everything else reads only settings that need a
    restart.
    """

    app: QuartTrio
    proxies: Proxies
    prompt: PromptRoutes
    submits: Submits
    gate: Gate
    hooks: HookAnswers
    submit_answers: SubmitAnswers
    reload_answers: ReloadAnswers

    def checked(self, config: Config, handlers: Catalogue, environment: Mapping[str, str]) -> Callable[[], None]:
        """Check changed settings; return a function that applies them, and cannot fail.

        Parameters:
            config: the tokens, the hosts and the hooks.
            handlers: the handlers that the settings declare.
            environment: the environment variables that hold secrets.

        Raises:
            ConfigError: a token, a host or a hook in the settings cannot be used.
        """
        rules, hooks = access_rules(config), load_hooks(config.hooks, environment, handlers)

        def apply() -> None:
            self.hooks.apply(hooks)
            self.submit_answers.use_present_log()
            self.gate.apply(rules)

        return apply


def create_app(executor: Executor, config: Config) -> QuartTrio:
    """Return an ASGI app for this executor; the app neither runs nor stops it. See ``create_web``."""
    return create_web(executor, config).app


def create_web(executor: Executor, config: Config, table: RouteTable = TABLE) -> Web:
    """Return an ASGI app for this executor, together with its prompt routes.

    Parameters:
        executor: the executor that runs the tasks.
        config: the limits, tokens and allowed hosts.
        table: the routes.

    Raises:
        ConfigError: a token, a host, a proxy or a hook in the settings cannot be used.
    """
    gate = Gate(config)
    proxies = Proxies(config, [route.path for route in table.routes if route.anywhere])
    submits, submit = SubmitAnswers(executor, config), table.route_of(SubmitAnswers.submit)
    services = [
        *(submits, TaskAnswers(executor, config), BulkAnswers(executor, config)),
        ScheduleAnswers(executor, config, submits, submit.path),
        LimitAnswers(executor),
        hooks := HookAnswers(executor, config, os.environ, table.route_of(TaskAnswers.show)),
        reloads := ReloadAnswers(),
        *(EventAnswers(executor, config), LogAnswers(executor, config), OpsAnswers(executor), MetricsAnswers(executor)),
        *(SessionAnswers(gate, config), DocsAnswers(table.routes, executor, config), DashboardAnswers()),
    ]
    answering = Answering(gate, table, services)
    prompt = PromptRoutes(table, answering)
    listened = prompt, Submits(answering, submits, prompt, submit)
    return Web(App(table, answering, proxies), proxies, *listened, gate, hooks, submits, reloads)


def make_http(web: Web, config: Config) -> Http:
    """Return the HTTP implementation that the setting ``server`` selects.

    Raises:
        ConfigError: the implementation is not installed.
    """
    if config.server == "fast":
        return make_fast(web.app, web.prompt, web.submits, web.proxies, idle_seconds_max=config.request_timeout_seconds)
    return Hypercorn(web.app, idle_seconds_max=config.request_timeout_seconds)
