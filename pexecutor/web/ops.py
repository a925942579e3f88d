"""What operators and orchestrators ask: alive, ready, drain."""

from __future__ import annotations

from typing import Literal

import msgspec
from quart import Response
from quart_trio import QuartTrio

from ..executor import Executor
from ..statistics import Phase, Statistics
from .wire import Problem, json_response, problem_response


class Alive(msgspec.Struct):
    """The process answers; that is all this says.

    Parameters:
        status: always the same.
    """

    status: Literal["alive"] = "alive"


class Situation(msgspec.Struct):
    """What the executor is doing.

    Parameters:
        status: whether it takes tasks.
        statistics: one snapshot of it.
    """

    status: Literal["ready", "draining"]
    statistics: Statistics


class NotReadyProblem(Problem):
    """No task is taken.

    Parameters:
        statistics: one snapshot of the executor.
    """

    statistics: Statistics


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
        return json_response(Alive())

    async def readyz(self) -> Response:
        """Whether a submit would be considered."""
        statistics = self._executor.statistics()
        if statistics.phase is Phase.SERVING:
            return json_response(Situation("ready", statistics))
        detail = f"the executor is {statistics.phase} and takes no tasks; send them to another one"
        return problem_response(503, detail, extensions={"statistics": statistics})

    async def drain(self) -> Response:
        """Begin the stop; it goes on after this reply."""
        self._executor.drain()
        return json_response(Situation("draining", self._executor.statistics()), 202)
