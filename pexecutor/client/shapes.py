"""The members that replies of the API must have. A reply without them does not come from a pexecutor server."""

from __future__ import annotations

from typing import Any

import msgspec


class RecordShape(msgspec.Struct):
    """The members of a task's record."""

    id: str
    name: str
    state: str
    handler: str
    submitted_at: str


class ScheduleShape(msgspec.Struct):
    name: str
    task: dict[str, Any]
    paused: bool
    next: list[str]
    occurrences: list[dict[str, Any]]


class HandlerShape(msgspec.Struct):
    name: str
    description: str
    params: dict[str, Any]


class PausesShape(msgspec.Struct):
    pauses: list[dict[str, Any]]


class ReasonShape(msgspec.Struct):
    reason: str
    detail: str


class ReloadedShape(msgspec.Struct):
    changed: list[dict[str, Any]]
    restart_needed: list[str]


class StoreStatisticsShape(msgspec.Struct):
    queue_size: int
    pending: int
    scheduled: int
    running: int
    finished: dict[str, int]


class StatisticsShape(msgspec.Struct):
    phase: str
    pool_size: int
    finished_per_second: float
    store: StoreStatisticsShape


class ReadinessShape(msgspec.Struct):
    statistics: StatisticsShape


class BulkCountsShape(msgspec.Struct):
    matched: int
    changed: int
    unchanged: int
    more: bool


class CountsShape(msgspec.Struct, rename="pascal"):
    requested_task: int
    submitted_tasks: int
    duplicate_tasks: int
    rejected_tasks: int
