"""``HttpSender``: sends notifications as HTTP requests.

A receiver can be any address on the internet, so nothing that it replies is trusted: redirects are not followed, at
most ``REPLY_BYTES_MAX`` of the reply's body are read, and the whole attempt has a limit in time. The status alone
decides: 2xx is a success, 410 means that the receiver is gone, and after everything else the delivery is tried again.

``addresses.py`` looks the name up and says which addresses are allowed. The request is made to such an address, with
the name in the header ``Host``, in the TLS handshake and in the check of the certificate. Connections are not kept: a
kept one would be used without a new look-up.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final

import httpx2
import trio

from ..errors import cause_of
from ..handlers.http.retry_after import retry_after_seconds
from ..limits.times import DELIVERY_ATTEMPT_SECONDS_MAX, DELIVERY_REPLY_SECONDS_MAX
from ..stores.deliveries import Delivery
from .addresses import PrivateAddressError, addresses_of
from .message import body_of
from .sending import DELIVERED, Send, SendResult
from .settings import Target
from .signature import signature_headers

REPLY_BYTES_MAX: Final = 64 * 1024

HEADERS: Final = {"accept-encoding": "identity", "content-type": "application/json", "user-agent": "pexecutor"}

_GONE: Final = 410


@asynccontextmanager
async def opened(
    targets: Mapping[str, Target],
    *,
    transport: httpx2.AsyncBaseTransport | None = None,
    verify: ssl.SSLContext | bool = True,
    now: Callable[[], float] = time.time,
) -> AsyncIterator[Send]:
    """Open a sender; deliveries can be sent inside this context.

    Parameters:
        targets: the targets, by name.
        transport: what makes the requests, instead of connections.
        verify: how the certificates of receivers are checked.
        now: the time for signatures, in seconds since 1970.
    """
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
    no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    async with httpx2.AsyncClient(
        transport=transport, verify=verify, limits=limits, cookies=no_cookies, trust_env=False
    ) as client:
        yield HttpSender(targets, client, now).send


class HttpSender:
    """Sends deliveries to targets.

    Parameters:
        targets: the targets, by name.
        client: the HTTP client; it follows no redirects and keeps no connections.
        now: the time for signatures, in seconds since 1970.
    """

    def __init__(self, targets: Mapping[str, Target], client: httpx2.AsyncClient, now: Callable[[], float]) -> None:
        self._targets = targets
        self._client = client
        self._now = now

    async def send(self, delivery: Delivery) -> SendResult:
        """Make one attempt of a delivery, within ``DELIVERY_ATTEMPT_SECONDS_MAX``."""
        target = self._targets[delivery.target]
        origin = target.address.origin
        try:
            return await self._attempt(target, delivery)
        except (trio.TooSlowError, httpx2.TimeoutException):
            why = f"{origin} did not reply within {DELIVERY_ATTEMPT_SECONDS_MAX:g} s"
        except PrivateAddressError:
            why = f"{origin} has a private address: set allow_private = true if that is intended"
        except httpx2.ConnectError as error:
            is_certificate = cause_of(error, ssl.SSLCertVerificationError) is not None
            why = f"invalid certificate of {origin}" if is_certificate else f"cannot connect to {origin}"
        except httpx2.HTTPError:
            why = f"{origin} closed the connection early, or sent an invalid HTTP response"
        except (OSError, UnicodeError):
            why = f"the name of {origin} cannot be resolved"
        return SendResult("failed", why)

    async def _attempt(self, target: Target, delivery: Delivery) -> SendResult:
        place, deadline = target.address, trio.current_time() + DELIVERY_ATTEMPT_SECONDS_MAX
        with trio.fail_at(deadline):
            addresses = await addresses_of(place.host, place.port, allow_private=target.allow_private)
        connect_seconds = DELIVERY_ATTEMPT_SECONDS_MAX / len(addresses)
        for address in addresses[:-1]:
            with suppress(httpx2.ConnectError, httpx2.ConnectTimeout):
                return await self._post(target, delivery, address, connect_seconds, deadline)
        return await self._post(target, delivery, addresses[-1], connect_seconds, deadline)

    async def _post(
        self, target: Target, delivery: Delivery, address: str, connect_seconds: float, deadline: float
    ) -> SendResult:
        place, body = target.address, body_of(delivery, target.preset)
        host = f"[{address}]" if ":" in address else address
        headers = HEADERS | {"host": place.host_header}
        headers |= signature_headers(target.keys, delivery.id, int(self._now()), body)
        if place.authorization is not None:
            headers |= {"authorization": place.authorization}
        result: SendResult | None = None
        with trio.move_on_at(deadline):
            async with self._client.stream(
                "POST",
                f"{place.scheme}://{host}:{place.port}{place.resource}",
                content=body,
                headers=headers,
                timeout=httpx2.Timeout(DELIVERY_ATTEMPT_SECONDS_MAX, connect=connect_seconds),
                follow_redirects=False,
                extensions={"sni_hostname": place.host},
            ) as response:
                result = _result_of(response)
                with trio.move_on_after(DELIVERY_REPLY_SECONDS_MAX), suppress(httpx2.HTTPError):
                    await _read_body(response)
        if result is None:
            raise trio.TooSlowError
        return result


async def _read_body(response: httpx2.Response) -> None:
    """Read the body up to the limit, so that a receiver can end its reply before the connection is closed."""
    read = 0
    async for chunk in response.aiter_raw():
        read += len(chunk)
        if read >= REPLY_BYTES_MAX:
            # Close instead of `break`, which would leave the client's generators unfinished. Closing ends the loop,
            # possibly with an HTTPError.
            await response.aclose()


def _result_of(response: httpx2.Response) -> SendResult:
    if response.is_success:
        return DELIVERED
    if response.status_code == _GONE:
        return SendResult("gone", f"status {_GONE}")
    why = f"status {response.status_code}"
    if response.is_redirect:
        why += ", a redirect, which is not followed"
    return SendResult("failed", why, retry_after_seconds(response.headers.get("Retry-After")) or 0.0)
