"""Routes for operators and orchestrators: liveness, readiness, history, nodes and drain."""

from __future__ import annotations

import time
from typing import Annotated, Final, Literal

import msgspec
import structlog
from msgspec import UNSET, Meta, UnsetType

from ...core.executor import Executor
from ...core.statistics import Phase, Statistics
from ...observe.timeline import INTERVAL_SECONDS, INTERVALS_MAX, LONG_INTERVAL_SECONDS
from ...stores import Node
from .limit_wire import statistics_view
from .reply import Reply, json_reply, problem_reply
from .request import IncomingRequest
from .wire import IntervalView, Problem, Timestamp, interval_view, timestamp

HISTORY_HOURS_MAX: Final = 24

_log = structlog.get_logger()


class Alive(msgspec.Struct):
    """The process answers. Whether tasks are accepted is a question for ``/readyz``.

    Parameters:
        status: always ``alive``.
    """

    status: Literal["alive"] = "alive"


class Situation(msgspec.Struct):
    """The state of the executor.

    Parameters:
        status: ``ready`` if the executor accepts tasks, ``draining`` after the stop has begun.
        statistics: a snapshot of the executor; only for callers with the scope ``read``.
    """

    status: Literal["ready", "draining"]
    statistics: Statistics | UnsetType = UNSET


class NotReadyProblem(Problem):
    """The executor accepts no tasks.

    Parameters:
        statistics: a snapshot of the executor; only for callers with the scope ``read``.
    """

    statistics: Statistics | UnsetType = UNSET


class HistoryQuery(msgspec.Struct):
    """The time to show.

    Parameters:
        hours: how many hours, in intervals of five minutes; without it, the last 15 minutes in intervals of 15 s.
    """

    hours: Annotated[float, Meta(gt=0, le=HISTORY_HOURS_MAX)] | None = None


class TimelineView(msgspec.Struct):
    """The throughput of the last minutes or hours.

    Parameters:
        interval_seconds: the length of each interval, in seconds.
        intervals: the intervals in which something happened, in order.
    """

    interval_seconds: float
    intervals: list[IntervalView]


class NodeView(msgspec.Struct):
    """One of the processes that share a store.

    Parameters:
        name: the host, the process id, and a random part that is unique to each start.
        beat_at: when the node sent its last heartbeat, by the store's clock.
        lease_until: when the node is considered dead, unless it sends another heartbeat before.
        pool_size: how many tasks the node can run at once.
        busy: how many workers of the node ran a task at the last heartbeat.
        draining: whether the node has begun to stop, and starts no more tasks.
    """

    name: str
    beat_at: Timestamp
    lease_until: Timestamp
    pool_size: int
    busy: int
    draining: bool


def node_view(node: Node) -> NodeView:
    """Return a node as it is shown on the wire."""
    state = node.state
    times = timestamp(node.beat_at), timestamp(node.lease_until)
    return NodeView(node.name, *times, state.pool_size, state.busy, state.draining)


class OpsAnswers:
    """Answers about the server itself."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    async def livez(self, _: IncomingRequest) -> Reply:
        """Answer, which shows that the process is alive."""
        return json_reply(Alive())

    async def readyz(self, request: IncomingRequest) -> Reply:
        """Show whether submits are accepted; callers with the scope ``read`` also get the statistics."""
        statistics = self._executor.statistics()
        identity = request.identity
        shown = statistics_view(statistics) if identity is not None and identity.may("read") else UNSET
        if statistics.phase is not Phase.SERVING:
            detail = f"the server is {statistics.phase} and accepts no tasks: use another server"
        elif statistics.store.trouble is not None:
            detail = statistics.store.trouble
        else:
            return json_reply(Situation("ready", shown))
        return problem_reply(503, detail, extensions={} if shown is UNSET else {"statistics": shown})

    async def history(self, request: IncomingRequest) -> Reply:
        """Show the throughput of the last 15 minutes or hours, without the intervals in which nothing happened."""
        query: HistoryQuery = request.query
        timeline = self._executor.timeline
        if query.hours is None:
            intervals = timeline.since(time.time() - INTERVAL_SECONDS * INTERVALS_MAX)
            return json_reply(TimelineView(INTERVAL_SECONDS, list(map(interval_view, intervals))))
        intervals = timeline.long_since(time.time() - query.hours * 3600)
        return json_reply(TimelineView(LONG_INTERVAL_SECONDS, list(map(interval_view, intervals))))

    async def nodes(self, _: IncomingRequest) -> Reply:
        """Show the processes that share the store."""
        return json_reply([node_view(node) for node in await self._executor.nodes()])

    async def drain(self, _: IncomingRequest) -> Reply:
        """Begin the stop, which continues after this reply."""
        _log.info("asked to drain")
        self._executor.drain()
        return json_reply(Situation("draining", statistics_view(self._executor.statistics())), 202)
