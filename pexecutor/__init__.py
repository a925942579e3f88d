"""pexecutor: a task executor you talk to over HTTP, or embed in a Trio program.

Importing this package imports no web framework and starts nothing. ``pexecutor.core.executor`` shows how to embed it.
"""

from .core.executor import Executor
from .core.statistics import Phase, Statistics
from .errors import (
    AlreadyFinishedError,
    AlreadyStartedError,
    ConfigError,
    ExpiredTaskError,
    FieldError,
    InvalidCursorError,
    InvalidScheduleError,
    InvalidTaskError,
    OwnedScheduleError,
    PexecutorError,
    StoreUnavailableError,
    TooManySchedulesError,
    UnknownScheduleError,
    UnknownTaskError,
)
from .handlers import Catalogue, Context, HandlerFailedError, handler, load_catalogue
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
    "Attempt",
    "Catalogue",
    "ConfigError",
    "Context",
    "Draining",
    "Duplicate",
    "Ending",
    "Executor",
    "ExpiredTaskError",
    "FieldError",
    "Finished",
    "Following",
    "Full",
    "HandlerFailedError",
    "InvalidCursorError",
    "InvalidScheduleError",
    "InvalidTaskError",
    "LocalStore",
    "Outcome",
    "OwnedScheduleError",
    "Page",
    "PageRequest",
    "Pending",
    "PexecutorError",
    "Phase",
    "Record",
    "Running",
    "Schedule",
    "ScheduleDeclaration",
    "Scheduled",
    "Schedules",
    "State",
    "Statistics",
    "Store",
    "StoreStatistics",
    "StoreUnavailableError",
    "Task",
    "TooManySchedulesError",
    "UnknownScheduleError",
    "UnknownTaskError",
    "Verdict",
    "handler",
    "load_catalogue",
]
