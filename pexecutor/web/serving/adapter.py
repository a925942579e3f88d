"""Serve the route table with quart-trio: the only module that registers rules, and turns replies into responses."""

from __future__ import annotations

from typing import cast

from quart import Response
from quart.ctx import RequestContext
from quart.globals import request_ctx
from quart_trio import QuartTrio
from werkzeug.exceptions import NotFound
from werkzeug.routing import BaseConverter

from ..access.proxies import Proxies
from ..api.errors import problem_of
from ..api.reply import Reply, problem_reply
from ..api.request import IncomingRequest
from ..api.route import PARAMETERS, RouteTable
from .answering import Answering
from .quart_app import Connection, StreamedRequest, current_request


class App(QuartTrio):
    """The ASGI app.

    Parameters:
        table: the routes.
        answering: answers the requests.
        proxies: reads the requests before they are routed.
    """

    asgi_http_class = Connection
    request_class = StreamedRequest

    def __init__(self, table: RouteTable, answering: Answering, proxies: Proxies) -> None:
        super().__init__("pexecutor", static_folder=None)
        self._answering = answering
        self.proxies: Proxies = proxies
        self._routes = {route.rule: route for route in table.routes}
        self.config["MAX_CONTENT_LENGTH"] = None  # each route reads its own body, with its own limit
        self.config["RESPONSE_TIMEOUT"] = None  # the listener drops slow readers
        self.url_map.merge_slashes = False  # otherwise `//drain` would be redirected to `/drain`
        for name, segment in PARAMETERS.items():
            self.url_map.converters[name] = type(name, (BaseConverter,), {"regex": segment})
        for route in table.routes:
            rule = route.path_with(lambda name: f"<{name}:{name}>" if name in PARAMETERS else f"<{name}>")
            self.add_url_rule(rule, endpoint=route.rule, methods=[route.method])
        self.register_error_handler(Exception, _answer_error)

    async def dispatch_request(self, request_context: RequestContext | None = None) -> Response:
        """Answer the current request: the one view of all routes, and of requests without a route."""
        request = cast(StreamedRequest, (request_context or request_ctx).request)
        route = self._routes.get(request.endpoint or "")
        if request.has_ambiguous_length:
            # The request may be an attempt to smuggle another one (RFC 9112, section 6.1): close the connection.
            detail = "send Content-Length or Transfer-Encoding, not both"
            reply = problem_reply(400, detail, headers={"Connection": "close"})
        elif route is None or request.method == "OPTIONS":
            reply = await self._answering.answer_unrouted(request, self._answer_unrouted)
        else:
            reply = await self._answering.answer(request, route)
        return await _as_response(reply, request)

    async def _answer_unrouted(self, _: IncomingRequest) -> Reply:
        """List the methods of a path for OPTIONS; refuse an unknown path or method, and a rule without a route."""
        request = current_request()
        if request.routing_exception is not None:
            raise request.routing_exception
        if request.endpoint not in self._routes:
            raise NotFound
        urls = request_ctx.url_adapter
        assert urls is not None, "the framework has matched the request"
        return Reply(b"", headers={"Allow": ", ".join(urls.allowed_methods())}, content_type="text/html; charset=utf-8")


async def _answer_error(error: Exception) -> Response:
    """Answer an error of the framework itself; ``Answering`` has answered all others."""
    return await _as_response(problem_of(error), current_request())


async def _as_response(reply: Reply, request: StreamedRequest) -> Response:
    response = Response(reply.content, reply.status, dict(reply.headers), content_type=reply.content_type)
    if not reply.content_type:
        del response.headers["Content-Type"], response.headers["Content-Length"]
    if reply.until_sent is not None:
        request.until_answered.push(reply.until_sent)
    if "ETag" in reply.headers:
        await response.make_conditional(request)
    return response
