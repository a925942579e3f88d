"""What operators and orchestrators ask: alive, ready, drain."""

from __future__ import annotations

import time
from typing import Literal

import msgspec
import structlog
from msgspec import UNSET, UnsetType
from quart import Response
from quart_trio import QuartTrio

from ...core.executor import Executor
from ...core.statistics import Phase, Statistics
from ...observe.timeline import INTERVAL_SECONDS, INTERVALS_MAX
from ...stores import Node
from ..serving.quart_app import current_request
from .reply import json_response, problem_response
from .wire import IntervalView, Problem, Timestamp, interval_view, timestamp

_log = structlog.get_logger()


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
        statistics: one snapshot of it, for those who may read.
    """

    status: Literal["ready", "draining"]
    statistics: Statistics | UnsetType = UNSET


class NotReadyProblem(Problem):
    """No task is taken.

    Parameters:
        statistics: one snapshot of the executor, for those who may read.
    """

    statistics: Statistics | UnsetType = UNSET


class TimelineView(msgspec.Struct):
    """What went through lately.

    Parameters:
        interval_seconds: how long each interval is.
        intervals: those in which something happened, in order.
    """

    interval_seconds: float
    intervals: list[IntervalView]


class NodeView(msgspec.Struct):
    """One of the processes that share a store.

    Parameters:
        name: the host, the number of the process there, and something that no other start has.
        beat_at: when it was heard of last, by the store's clock.
        lease_until: when it will be taken for dead, if it is not heard of before.
        pool_size: how many tasks it runs at once.
        busy: how many of its workers had a task.
        draining: whether it takes no more.
    """

    name: str
    beat_at: Timestamp
    lease_until: Timestamp
    pool_size: int
    busy: int
    draining: bool


def node_view(node: Node) -> NodeView:
    """A node on the wire."""
    state = node.state
    times = timestamp(node.beat_at), timestamp(node.lease_until)
    return NodeView(node.name, *times, state.pool_size, state.busy, state.draining)


class OpsRoutes:
    """Routes about the server itself."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def add_to(self, app: QuartTrio) -> None:
        """Register them."""
        app.add_url_rule("/livez", view_func=self.livez, methods=["GET"])
        app.add_url_rule("/readyz", view_func=self.readyz, methods=["GET"])
        app.add_url_rule("/statistics/history", view_func=self.history, methods=["GET"])
        app.add_url_rule("/nodes", view_func=self.nodes, methods=["GET"])
        app.add_url_rule("/drain", view_func=self.drain, methods=["POST"])

    async def livez(self) -> Response:
        """The process answers; that is all this says."""
        return json_response(Alive())

    async def readyz(self) -> Response:
        """Whether a submit would be considered; the statistics are for those who may read."""
        statistics = self._executor.statistics()
        identity = current_request().identity
        shown = statistics if identity is not None and identity.may("read") else UNSET
        if statistics.phase is not Phase.SERVING:
            detail = f"the executor is {statistics.phase} and takes no tasks; send them to another one"
        elif statistics.store.trouble is not None:
            detail = statistics.store.trouble
        else:
            return json_response(Situation("ready", shown))
        return problem_response(503, detail, extensions={} if shown is UNSET else {"statistics": shown})

    async def history(self) -> Response:
        """What went through in the last quarter of an hour; an interval in which nothing happened is left out."""
        since = time.time() - INTERVAL_SECONDS * INTERVALS_MAX
        intervals = [interval_view(interval) for interval in self._executor.timeline.since(since)]
        return json_response(TimelineView(INTERVAL_SECONDS, intervals))

    async def nodes(self) -> Response:
        """The processes that share the store."""
        return json_response([node_view(node) for node in await self._executor.nodes()])

    async def drain(self) -> Response:
        """Begin the stop; it goes on after this reply."""
        _log.info("asked to drain")
        self._executor.drain()
        return json_response(Situation("draining", self._executor.statistics()), 202)
