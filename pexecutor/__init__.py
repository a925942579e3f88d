"""pexecutor: a task executor you talk to over HTTP, or embed in a Trio program.

Importing this package imports no web framework and starts nothing; see ``pexecutor.executor`` for an embedding.
"""

from .errors import (
    AlreadyFinishedError,
    ConfigError,
    ExpiredTaskError,
    FieldError,
    InvalidCursorError,
    InvalidTaskError,
    PexecutorError,
    StoreUnavailableError,
    UnknownTaskError,
)
from .executor import Executor, Phase, Statistics
from .stores import Page, PageRequest, Store, StoreStatistics
from .stores.local import LocalStore
from .task import (
    Accepted,
    Draining,
    Duplicate,
    Ending,
    Finished,
    Full,
    Outcome,
    Pending,
    Record,
    Running,
    State,
    Task,
    Verdict,
)

__version__ = "0.1.0"

__all__ = [
    "Accepted",
    "AlreadyFinishedError",
    "ConfigError",
    "Draining",
    "Duplicate",
    "Ending",
    "Executor",
    "ExpiredTaskError",
    "FieldError",
    "Finished",
    "Full",
    "InvalidCursorError",
    "InvalidTaskError",
    "LocalStore",
    "Outcome",
    "Page",
    "PageRequest",
    "Pending",
    "PexecutorError",
    "Phase",
    "Record",
    "Running",
    "State",
    "Statistics",
    "Store",
    "StoreStatistics",
    "StoreUnavailableError",
    "Task",
    "UnknownTaskError",
    "Verdict",
]
