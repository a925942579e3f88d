"""The routes that the fast listener answers without the framework: the rows of the route table that are prompt.

A prompt reply cannot take so long that the client may disconnect meanwhile. A request for a prompt route is answered
here if it is written in the usual way, so that no decoding can differ from the framework's. The app answers every other
request, in the same way: both call ``Answering``.
"""

from __future__ import annotations

import re
from typing import Final

from ..api.reply import Reply
from ..api.route import ANY_SEGMENT, PARAMETERS, Route, RouteTable
from ..serving.answering import Answering
from .request import Request

_PLAIN_PATH: Final = re.compile(rb"(?:/[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}){1,10}")
_PLAIN_QUERY: Final = re.compile(rb"(?!.*wait)(?:&?[a-z_]{1,20}=[A-Za-z0-9._-]{1,200}){1,10}")
"""A query that needs no percent-decoding and has no parameter that waits."""


class PromptRoutes:
    """Answers requests for prompt routes.

    Parameters:
        table: the routes.
        answering: answers the requests.
    """

    def __init__(self, table: RouteTable, answering: Answering) -> None:
        self._answering = answering
        prompt = [route for route in table.routes if route.prompt]
        self._fixed = {(route.method, route.path.encode()): route for route in prompt if not route.parameters}
        self._patterns = [(route, _pattern(route)) for route in prompt if route.parameters]

    def find(self, request: Request) -> Route | None:
        """Return the route of a request to answer here, or ``None`` if the app has to answer it."""
        if request.http_version != "1.1" or request.expects_continue:
            return None
        path, mark, query = request.target.partition(b"?")
        if mark and _PLAIN_QUERY.fullmatch(query) is None:
            return None
        route = self._fixed.get((request.method, path)) or self._match(request, path)
        if route is None:
            return None
        is_plain = request.is_json and not request.is_coded if route.body else request.chunks.ended
        return route if is_plain else None

    def _match(self, request: Request, path: bytes) -> Route | None:
        """Return the route with parameters that a path matches, and set the parameters of the request."""
        if _PLAIN_PATH.fullmatch(path) is None:
            return None
        for route, pattern in self._patterns:
            if route.method == request.method and (match := pattern.fullmatch(path)) is not None:
                request.parameters = {name: value.decode("ascii") for name, value in match.groupdict().items()}
                return route
        return None

    async def answer(self, request: Request, route: Route) -> Reply:
        """Return the reply to a request; an error becomes an error reply."""
        return await self._answering.answer(request, route)


def _pattern(route: Route) -> re.Pattern[bytes]:
    """Return a pattern of the paths of a route; its other segments have no characters with a meaning in patterns."""
    return re.compile(route.path_with(lambda name: f"(?P<{name}>{PARAMETERS.get(name, ANY_SEGMENT)})").encode())
