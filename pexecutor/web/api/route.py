"""One row of the route table, and the table: what the servers and the documentation have to know about a route.

``routes.py`` holds the rows. This module is below it, because the servers and the documentation need the types.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cached_property, partial
from typing import Any, Final, Literal

import msgspec

from ...access import Scope
from ...errors import PexecutorError
from ...task import State
from .errors import BadRequestError, RequestTimeoutError, TooLargeError, UnsupportedMediaTypeError
from .reply import Reply
from .request import IncomingRequest

Need = Scope | Literal["open", "signed"]
"""The scope that a route needs. ``open`` routes answer every caller; ``signed`` ones check a signature themselves."""

Answer = Callable[[IncomingRequest], Awaitable[Reply]]

PARAMETERS: Final = {"id": rf"(?!(?:{'|'.join([*State, 'bulk'])})$)[^/]+"}
"""The segments that a parameter of a path matches; without an entry, each segment. An ``id`` is no name that has a
route of its own: `DELETE /tasks/pending` must be answered 405."""

ANY_SEGMENT: Final = "[^/]+"

_PARAMETER: Final = re.compile(r"{(\w+)}")


class Media(msgspec.Struct, frozen=True):
    """A body in one media type: its JSON Schema, and examples by title."""

    type: str
    schema: dict[str, Any]
    examples: dict[str, Any] = {}


class DocumentedReply(msgspec.Struct, frozen=True):
    """The reply with one status; ``links`` are the operations that take the ``id`` of the record in the reply."""

    description: str
    media: tuple[Media, ...]
    headers: tuple[str, ...] = ()
    links: tuple[str, ...] = ()


class Doc(msgspec.Struct, frozen=True):
    """The documentation of a route.

    Parameters:
        group: the heading of the operation in the document.
        id: the name of the operation in generated clients.
        summary: the operation in one line; ``description`` holds further facts.
        replies: the replies, by status.
        errors: further errors, besides those of reading the query and the body.
        body_description: describes the content of the body.
        request_headers: the names of the headers that are parameters of the operation.
    """

    group: str
    id: str
    summary: str
    replies: dict[int, DocumentedReply]
    errors: tuple[type[PexecutorError], ...] = ()
    description: str = ""
    body_description: str = ""
    request_headers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Route:
    """One method of one path. HEAD, OPTIONS and 405 follow from the rows of a path.

    Parameters:
        method, path: as in a request; a parameter of the path is in braces.
        scope: the scope that a caller needs.
        answer: returns the reply to a request: a function of the request, or a method of one of the app's services.
        query: the type that decodes the query string; ``None`` if the route ignores it.
        body: the media types of the body that the route reads; empty if it reads none.
        prompt: whether the reply comes at once, as bytes, so that the fast listener may answer without the framework.
            A request whose query has a parameter with ``wait`` in its name is never prompt, nor is a stream of tasks.
        anywhere: whether the path is also answered outside of the base path, because those who request it reach the
            server without a proxy.
        doc: the documentation; ``None`` for routes that only the pages of this server use.
    """

    method: str
    path: str
    _: KW_ONLY
    scope: Need
    answer: Callable[..., Awaitable[Reply]]
    query: type[msgspec.Struct] | None = None
    body: tuple[Media, ...] = ()
    prompt: bool = True
    anywhere: bool = False
    doc: Doc | None = None

    @cached_property
    def rule(self) -> str:
        """Return the method and the path, without the names of parameters: ``GET /tasks/{}``."""
        return f"{self.method} {_PARAMETER.sub('{}', self.path)}"

    @property
    def errors(self) -> tuple[type[PexecutorError], ...]:
        """Return the documented errors that the route raises: those of reading the query and the body, and others."""
        of_query = () if self.query is None else (BadRequestError,)
        of_body = (RequestTimeoutError, TooLargeError, UnsupportedMediaTypeError) if self.body else ()
        return (*of_query, *(() if self.doc is None else self.doc.errors), *of_body)

    @property
    def parameters(self) -> list[str]:
        """Return the names of the parameters of the path."""
        return _PARAMETER.findall(self.path)

    def path_with(self, segment_of: Callable[[str], str]) -> str:
        """Return the path with something else for each parameter, which is passed by its name."""
        return _PARAMETER.sub(lambda found: segment_of(found[1]), self.path)

    def answer_of(self, services: Iterable[object]) -> Answer:
        """Return the function that answers requests; a method is bound to the service of its class."""
        for service in services:
            if getattr(type(service), self.answer.__name__, None) is self.answer:
                return partial(self.answer, service)
        return self.answer


class RouteTable:
    """The routes of an app.

    Parameters:
        routes: the rows.
    """

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = tuple(routes)
        self.scopes: dict[str, Need] = {route.rule: route.scope for route in routes}
        """The scope that each route needs, by its rule; the gate refuses a route without an entry."""

    def route_of(self, answer: Callable[..., Awaitable[Reply]]) -> Route:
        """Return the route with this answer."""
        return next(route for route in self.routes if route.answer is answer)
