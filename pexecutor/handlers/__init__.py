"""Handlers: the code that runs tasks.

``contract.py`` defines what a handler is, and ``catalogue.py`` holds all handlers of a server. The kinds of handlers
are ``sleep.py`` (built in), ``command.py`` (programs that the operator declares), ``http/http.py`` (HTTP calls that the
operator declares) and ``functions/function.py`` (Python functions in the operator's modules).
"""

from .catalogue import BUILT_IN, Catalogue, load_catalogue
from .context import CancelledBy, Context
from .contract import Complaint, EndedBySignalError, Handler, HandlerFailedError, failure_of
from .functions.function import handler

__all__ = [
    "BUILT_IN",
    "CancelledBy",
    "Catalogue",
    "Complaint",
    "Context",
    "EndedBySignalError",
    "Handler",
    "HandlerFailedError",
    "failure_of",
    "handler",
    "load_catalogue",
]
