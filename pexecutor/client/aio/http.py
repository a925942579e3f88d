"""``AsyncHttpLink``: exchange one request for one reply, over HTTPX. It is the lowest layer, and repeats nothing."""

from __future__ import annotations

import ssl
from typing import TypeVar

import httpx2

from ...errors import PexecutorError
from ...limits.times import CLIENT_CONNECT_SECONDS_MAX
from ..address import ServerAddress, verification
from ..decoding import decoded
from ..replies import failure, refusal
from ..requests import ApiRequest

T = TypeVar("T")


class AsyncHttpLink:
    """Requests to one server.

    Parameters:
        address: where the server is.
        token: the bearer token, or ``None``.
        reply_seconds_max: how long a reply may take, in addition to a wait that the request asks for.
        ssl_context: how to check the server's certificate; by default, against the system's authorities.
        transport: sends the requests, instead of the usual transport.
    """

    def __init__(
        self,
        address: ServerAddress,
        token: str | None,
        *,
        reply_seconds_max: float,
        ssl_context: ssl.SSLContext | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self.address = address
        self._reply_seconds_max = reply_seconds_max
        headers = {"Accept": "application/json, application/problem+json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if address.socket_path is not None:
            transport = httpx2.AsyncHTTPTransport(uds=address.socket_path, verify=False)
        self._client = httpx2.AsyncClient(
            base_url=address.base,
            headers=headers,
            timeout=self._timeout(0.0),
            verify=verification(address, ssl_context),
            trust_env=not address.is_loopback,
            transport=transport,
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def send(self, request: ApiRequest) -> httpx2.Response:
        """Send a request, and return the whole reply.

        Raises:
            RefusedError: the server refused the request.
            UnreachableError: there is no reply.
        """
        try:
            reply = await self._client.send(self._built(request))
        except httpx2.RequestError as error:
            raise failure(self.address.shown, error) from error
        if not reply.is_success:
            raise refusal(self.address.shown, reply)
        return reply

    async def ask(self, request: ApiRequest, kind: type[T]) -> T:
        """Send a request, and return the JSON of the reply as a value of a type."""
        return decoded((await self.send(request)).content, kind)

    async def open(self, request: ApiRequest) -> httpx2.Response:
        """Send a request, and return the reply before its content has arrived. The caller closes the reply.

        Raises:
            RefusedError: the server refused the request.
            UnreachableError: there is no reply.
        """
        try:
            reply = await self._client.send(self._built(request), stream=True)
            if not reply.is_success:
                await reply.aread()
        except httpx2.RequestError as error:
            raise failure(self.address.shown, error) from error
        if not reply.is_success:
            raise refusal(self.address.shown, reply)
        return reply

    def lost(self, error: httpx2.RequestError) -> PexecutorError:
        """Return the error of a stream that has ended too early."""
        return failure(self.address.shown, error)

    def _built(self, request: ApiRequest) -> httpx2.Request:
        return self._client.build_request(
            request.method,
            request.path,
            params=request.query,
            content=request.content,
            headers=request.headers,
            timeout=self._timeout(request.wait_seconds),
        )

    def _timeout(self, wait_seconds: float | None) -> httpx2.Timeout:
        if wait_seconds is None:
            return httpx2.Timeout(None, connect=CLIENT_CONNECT_SECONDS_MAX)
        connect = min(CLIENT_CONNECT_SECONDS_MAX, self._reply_seconds_max)
        return httpx2.Timeout(self._reply_seconds_max + wait_seconds, connect=connect)
