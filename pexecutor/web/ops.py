"""What operators and orchestrators ask: alive, ready, drain."""

from __future__ import annotations

import time
from typing import Any

import structlog
from quart import Response
from quart_trio import QuartTrio

from ..executor import Executor
from ..statistics import Phase
from ..timeline import INTERVAL_SECONDS, INTERVALS_MAX
from .connection import current_request
from .wire import interval_view, json_response, problem_response

_log = structlog.get_logger()


class OpsRoutes:
    """Routes about the server itself."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def add_to(self, app: QuartTrio) -> None:
        """Register them."""
        app.add_url_rule("/livez", view_func=self.livez, methods=["GET"])
        app.add_url_rule("/readyz", view_func=self.readyz, methods=["GET"])
        app.add_url_rule("/statistics/history", view_func=self.history, methods=["GET"])
        app.add_url_rule("/drain", view_func=self.drain, methods=["POST"])

    async def livez(self) -> Response:
        """The process answers; that is all this says."""
        return json_response({"status": "alive"})

    async def readyz(self) -> Response:
        """Whether a submit would be considered; the statistics are for those who may read."""
        statistics = self._executor.statistics()
        identity = current_request().identity
        shown: dict[str, Any] = {} if identity is None or not identity.may("read") else {"statistics": statistics}
        if statistics.phase is not Phase.SERVING:
            detail = f"the executor is {statistics.phase} and takes no tasks; send them to another one"
        elif statistics.store.trouble is not None:
            detail = statistics.store.trouble
        else:
            return json_response({"status": "ready", **shown})
        return problem_response(503, detail, extensions=shown)

    async def history(self) -> Response:
        """What went through in the last quarter of an hour; an interval in which nothing happened is left out."""
        since = time.time() - INTERVAL_SECONDS * INTERVALS_MAX
        intervals = [interval_view(interval) for interval in self._executor.timeline.since(since)]
        return json_response({"interval_seconds": INTERVAL_SECONDS, "intervals": intervals})

    async def drain(self) -> Response:
        """Begin the stop; it goes on after this reply."""
        _log.info("asked to drain")
        self._executor.drain()
        return json_response({"status": "draining", "statistics": self._executor.statistics()}, 202)
