"""What runs tasks.

``contract.py`` says what a handler is; ``catalogue.py`` knows all there are. The kinds: ``sleep.py``, built in;
``command.py``, programs that the operator declares; ``http.py``, HTTP calls that he declares; ``function.py``, Python
functions of his modules.
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
