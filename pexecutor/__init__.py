"""pexecutor: a task executor you talk to over HTTP, or embed in a Trio program.

Importing this package imports no web framework and starts nothing. ``pexecutor.core.executor`` shows how to embed it.

A public name is imported when it is first used, because a command of the command line is a client that needs neither
the executor nor Trio: importing both takes several times as long as the command itself.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .client.aio.client import (
        AsyncClient,
    )
    from .client.aio.handle import (
        AsyncHandle,
    )
    from .client.errors import (
        DrainingError,
        DuplicateError,
        NotAllowedError,
        NotAuthenticatedError,
        NotFoundError,
        QueueFullError,
        TaskAbandonedError,
        TaskCancelledError,
        TaskFailedError,
        TaskTimedOutError,
        UnsuccessfulTaskError,
    )
    from .client.event_stream import (
        GapEvent,
        OtherEvent,
        ProgressEvent,
        ServerEvent,
        TaskEvent,
    )
    from .client.fields import (
        Criteria,
        NewTask,
        ScheduleTimes,
        TaskFields,
    )
    from .client.log_stream import (
        LogRow,
    )
    from .client.more_records import (
        OccurrenceRecord,
        ReasonRecord,
        ScheduleRecord,
        ServerStatus,
        StoreNumbers,
    )
    from .client.records import (
        AttemptRecord,
        BulkCounts,
        HandlerRecord,
        LimitRecord,
        PauseRecord,
        ProgressRecord,
        SubmittedTasks,
        SubmitVerdict,
        TaskOutput,
        TaskRecord,
    )
    from .client.sync.client import (
        Client,
    )
    from .client.sync.handle import (
        Handle,
    )
    from .core.executor import Executor
    from .core.settings import ExecutorSettings
    from .core.statistics import Phase, Statistics
    from .errors import (
        AlreadyFinishedError,
        AlreadyStartedError,
        ConfigError,
        ExpiredTaskError,
        FieldError,
        ForeignReplyError,
        InvalidCursorError,
        InvalidScheduleError,
        InvalidTaskError,
        NotServingError,
        OwnedScheduleError,
        PexecutorError,
        RefusedError,
        StillWaitingError,
        StoreUnavailableError,
        TooManyLimitsError,
        TooManySchedulesError,
        UnknownScheduleError,
        UnknownTaskError,
        UnreachableError,
    )
    from .handlers import Catalogue, Context, HandlerFailedError, handler, load_catalogue, reload_catalogue
    from .schedules.declaration import ScheduleDeclaration
    from .schedules.operations import Schedules
    from .stores import Page, PageRequest, Store, StoreStatistics
    from .stores.local.store import LocalStore
    from .stores.schedules import Schedule
    from .task import (
        Accepted,
        Attempt,
        Draining,
        Duplicate,
        Ending,
        Finished,
        Following,
        Full,
        Outcome,
        Pending,
        Record,
        Running,
        Scheduled,
        State,
        Task,
        Verdict,
    )

__version__ = "0.2.0"

__all__ = [
    "Accepted",
    "AlreadyFinishedError",
    "AlreadyStartedError",
    "AsyncClient",
    "AsyncHandle",
    "Attempt",
    "AttemptRecord",
    "BulkCounts",
    "Catalogue",
    "Client",
    "ConfigError",
    "Context",
    "Criteria",
    "Draining",
    "DrainingError",
    "Duplicate",
    "DuplicateError",
    "Ending",
    "Executor",
    "ExecutorSettings",
    "ExpiredTaskError",
    "FieldError",
    "Finished",
    "Following",
    "ForeignReplyError",
    "Full",
    "GapEvent",
    "Handle",
    "HandlerFailedError",
    "HandlerRecord",
    "InvalidCursorError",
    "InvalidScheduleError",
    "InvalidTaskError",
    "LimitRecord",
    "LocalStore",
    "LogRow",
    "NewTask",
    "NotAllowedError",
    "NotAuthenticatedError",
    "NotFoundError",
    "NotServingError",
    "OccurrenceRecord",
    "OtherEvent",
    "Outcome",
    "OwnedScheduleError",
    "Page",
    "PageRequest",
    "PauseRecord",
    "Pending",
    "PexecutorError",
    "Phase",
    "ProgressEvent",
    "ProgressRecord",
    "QueueFullError",
    "ReasonRecord",
    "Record",
    "RefusedError",
    "Running",
    "Schedule",
    "ScheduleDeclaration",
    "ScheduleRecord",
    "ScheduleTimes",
    "Scheduled",
    "Schedules",
    "ServerEvent",
    "ServerStatus",
    "State",
    "Statistics",
    "StillWaitingError",
    "Store",
    "StoreNumbers",
    "StoreStatistics",
    "StoreUnavailableError",
    "SubmitVerdict",
    "SubmittedTasks",
    "Task",
    "TaskAbandonedError",
    "TaskCancelledError",
    "TaskEvent",
    "TaskFailedError",
    "TaskFields",
    "TaskOutput",
    "TaskRecord",
    "TaskTimedOutError",
    "TooManyLimitsError",
    "TooManySchedulesError",
    "UnknownScheduleError",
    "UnknownTaskError",
    "UnreachableError",
    "UnsuccessfulTaskError",
    "Verdict",
    "handler",
    "load_catalogue",
    "reload_catalogue",
]

_MODULES = {
    "client.aio.client": ("AsyncClient",),
    "client.aio.handle": ("AsyncHandle",),
    "client.errors": (
        "DrainingError",
        "DuplicateError",
        "NotAllowedError",
        "NotAuthenticatedError",
        "NotFoundError",
        "QueueFullError",
        "TaskAbandonedError",
        "TaskCancelledError",
        "TaskFailedError",
        "TaskTimedOutError",
        "UnsuccessfulTaskError",
    ),
    "client.event_stream": (
        "GapEvent",
        "OtherEvent",
        "ProgressEvent",
        "ServerEvent",
        "TaskEvent",
    ),
    "client.fields": (
        "Criteria",
        "NewTask",
        "ScheduleTimes",
        "TaskFields",
    ),
    "client.log_stream": ("LogRow",),
    "client.records": (
        "AttemptRecord",
        "BulkCounts",
        "HandlerRecord",
        "LimitRecord",
        "PauseRecord",
        "SubmittedTasks",
        "SubmitVerdict",
        "TaskOutput",
        "ProgressRecord",
        "TaskRecord",
    ),
    "client.more_records": (
        "OccurrenceRecord",
        "ReasonRecord",
        "ScheduleRecord",
        "ServerStatus",
        "StoreNumbers",
    ),
    "client.sync.client": ("Client",),
    "client.sync.handle": ("Handle",),
    "core.executor": ("Executor",),
    "core.settings": ("ExecutorSettings",),
    "core.statistics": ("Phase", "Statistics"),
    "errors": (
        "AlreadyFinishedError",
        "AlreadyStartedError",
        "ConfigError",
        "ExpiredTaskError",
        "FieldError",
        "ForeignReplyError",
        "RefusedError",
        "StillWaitingError",
        "UnreachableError",
        "InvalidCursorError",
        "InvalidScheduleError",
        "InvalidTaskError",
        "NotServingError",
        "OwnedScheduleError",
        "PexecutorError",
        "StoreUnavailableError",
        "TooManyLimitsError",
        "TooManySchedulesError",
        "UnknownScheduleError",
        "UnknownTaskError",
    ),
    "handlers": ("Catalogue", "Context", "HandlerFailedError", "handler", "load_catalogue", "reload_catalogue"),
    "schedules.declaration": ("ScheduleDeclaration",),
    "schedules.operations": ("Schedules",),
    "stores": ("Page", "PageRequest", "Store", "StoreStatistics"),
    "stores.local.store": ("LocalStore",),
    "stores.schedules": ("Schedule",),
    "task": (
        "Accepted",
        "Attempt",
        "Draining",
        "Duplicate",
        "Ending",
        "Finished",
        "Following",
        "Full",
        "Outcome",
        "Pending",
        "Record",
        "Running",
        "Scheduled",
        "State",
        "Task",
        "Verdict",
    ),
}
"""The public names, by the module that defines them."""

if not TYPE_CHECKING:  # a type checker would believe that the package has every name
    _MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

    def __getattr__(name: str) -> object:
        """Import a public name. Python calls this when the module has no such attribute yet."""
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = globals()[name] = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
