"""Handlers: the code that runs tasks.

``contract.py`` defines what a handler is, ``catalogue.py`` holds all handlers of a server, and ``loading.py`` makes
that catalogue from the settings. The kinds of handlers
are ``sleep.py`` (built in), ``command.py`` (programs that the operator declares), ``http/http.py`` (HTTP calls that the
operator declares) and ``functions/function.py`` (Python functions in the operator's modules).
"""

from .catalogue import BUILT_IN, Catalogue
from .context import CancelledBy, Context
from .contract import Complaint, EndedBySignalError, Handler, HandlerFailedError, failure_of
from .functions.function import handler
from .loading import load_catalogue, reload_catalogue

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
    "reload_catalogue",
]
