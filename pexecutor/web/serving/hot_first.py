"""Answer the hot routes in front of the framework, on every server that serves the app.

The hot routes are those of ``fast/hot.py``, with the same functions behind the same gate. Every other request is passed
to the framework before any of its body has been read. So are requests that only ASGI can describe, such as those of an
app that is mounted below a path.

A client that disconnects does not cancel a hot request, because a hot request ends soon by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import trio
from hypercorn.typing import ASGIFramework, ASGIReceiveCallable, ASGISendCallable, HTTPScope, Scope

from ..api.reply import Reply
from ..fast.hot import Hot, HotRoutes
from ..fast.request import Body, CutOffError, Ends, Header, Headers, Request
from . import quart_app as exchanges
from .quart_app import REQUEST_ID_HEADER


class HotFirst:
    """An ASGI app that answers hot requests itself and passes the others to another app.

    Parameters:
        app: the app for requests that are not hot.
        hot: the hot routes.
    """

    def __init__(self, app: ASGIFramework, hot: HotRoutes) -> None:
        self._app = app
        self._hot = hot

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Answer one hot request, or pass the event to the other app."""
        if scope["type"] == "http" and (request := _plain(scope, receive)) is not None:
            hot = self._hot.find(request)
            if hot is not None:
                with suppress(CutOffError):
                    await self._answer(request, hot, send)
                return
        await self._app(scope, receive, send)

    async def _answer(self, request: Request, hot: Hot, send: ASGISendCallable) -> None:
        reply = await self._hot.answer(request, hot)
        content = reply.content
        await send({"type": "http.response.start", "status": reply.status, "headers": _headers(reply, request)})
        if not request.chunks.ended:
            # The client still sends. If the reply ended now, the client could see a reset connection instead of it.
            await send({"type": "http.response.body", "body": content, "more_body": True})
            content = b""
            with trio.move_on_after(exchanges.LINGER_SECONDS_MAX):
                await request.chunks.drop()
        await send({"type": "http.response.body", "body": content, "more_body": False})


def _plain(scope: HTTPScope, receive: ASGIReceiveCallable) -> Request | None:
    """Return the request if it may be hot, judged by its ASGI scope, else ``None``."""
    target, headers = scope.get("raw_path") or b"", _by_name(scope["headers"])
    if target.decode("latin1") != scope["path"] or scope.get("root_path") or b"transfer-encoding" in headers:
        return None
    if scope["query_string"]:
        target = b"%b?%b" % (target, scope["query_string"])
    body = _body(receive)
    body.ended = scope["method"] == "GET" and b"content-length" not in headers
    return Request(_ends(scope), scope["method"], target, scope["http_version"], headers, body, keep_alive=True)


def _ends(scope: HTTPScope) -> Ends:
    server: Any = scope.get("server")  # a Unix socket has no port
    return Ends(scope["scheme"], scope.get("client"), server)


def _by_name(sent: Iterable[Header]) -> Headers:
    headers: Headers = {}
    for name, value in sent:
        headers.setdefault(name, []).append(value)
    return headers


def _body(receive: ASGIReceiveCallable) -> Body:
    async def read_on() -> None:
        message = await receive()
        if message["type"] != "http.request":
            raise CutOffError
        if message["body"]:
            body.put(message["body"])
        body.ended = not message.get("more_body", False)

    body = Body(read_on)
    return body


def _headers(reply: Reply, request: Request) -> list[Header]:
    """Return the headers of a reply in the framework's order."""
    return [
        *[(name.lower().encode("latin1"), value.encode("latin1")) for name, value in reply.headers.items()],
        (b"content-type", reply.content_type.encode("ascii")),
        (b"content-length", b"%d" % len(reply.content)),
        (REQUEST_ID_HEADER, request.id.encode("ascii")),
    ]
