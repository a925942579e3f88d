"""What operators and orchestrators ask: alive, ready, drain."""

from __future__ import annotations

import time

from quart import Response
from quart_trio import QuartTrio

from ..executor import Executor
from ..statistics import Phase
from ..timeline import INTERVAL_SECONDS, INTERVALS_MAX
from .wire import interval_view, json_response, problem_response


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
        """Whether a submit would be considered."""
        statistics = self._executor.statistics()
        if statistics.phase is Phase.SERVING:
            return json_response({"status": "ready", "statistics": statistics})
        detail = f"the executor is {statistics.phase} and takes no tasks; send them to another one"
        return problem_response(503, detail, extensions={"statistics": statistics})

    async def history(self) -> Response:
        """What went through in the last quarter of an hour; an interval in which nothing happened is left out."""
        since = time.time() - INTERVAL_SECONDS * INTERVALS_MAX
        intervals = [interval_view(interval) for interval in self._executor.timeline.since(since)]
        return json_response({"interval_seconds": INTERVAL_SECONDS, "intervals": intervals})

    async def drain(self) -> Response:
        """Begin the stop; it goes on after this reply."""
        self._executor.drain()
        return json_response({"status": "draining", "statistics": self._executor.statistics()}, 202)
