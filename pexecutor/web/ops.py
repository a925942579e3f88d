"""What operators and orchestrators ask: alive, ready, drain."""

from __future__ import annotations

from quart import Response
from quart_trio import QuartTrio

from ..executor import Executor
from ..statistics import Phase
from .wire import json_response, problem_response


class OpsRoutes:
    """Routes about the server itself."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def add_to(self, app: QuartTrio) -> None:
        """Register them."""
        app.add_url_rule("/livez", view_func=self.livez, methods=["GET"])
        app.add_url_rule("/readyz", view_func=self.readyz, methods=["GET"])
        app.add_url_rule("/drain", view_func=self.drain, methods=["POST"])

    async def livez(self) -> Response:
        """The process answers; that is all this says."""
        return json_response({"status": "alive"})

    async def readyz(self) -> Response:
        """Whether a submit would be considered."""
        statistics = self._executor.statistics()
        if statistics.phase is not Phase.SERVING:
            detail = f"the executor is {statistics.phase} and takes no tasks; send them to another one"
        elif statistics.store.trouble is not None:
            detail = statistics.store.trouble
        else:
            return json_response({"status": "ready", "statistics": statistics})
        return problem_response(503, detail, extensions={"statistics": statistics})

    async def drain(self) -> Response:
        """Begin the stop; it goes on after this reply."""
        self._executor.drain()
        return json_response({"status": "draining", "statistics": self._executor.statistics()}, 202)
