"""Turn replies of failure, and missing replies, into errors whose name says who acts next."""

from __future__ import annotations

import re
import ssl
from typing import Any, Final

import httpx2
import msgspec

from ..errors import PexecutorError, RefusedError, UnreachableError, cause_of
from .decoding import NOT_JSON

GATEWAY_STATUSES: Final = frozenset({502, 503, 504})

_ERROR_NUMBER: Final = re.compile(r"\[Errno -?\d+\] ")


def refusal(url: str, reply: httpx2.Response) -> RefusedError | UnreachableError:
    """Return the error of a reply. A gateway's error without problem details means that the server is unreachable."""
    try:
        problem = msgspec.json.decode(reply.content, type=dict[str, Any])
    except NOT_JSON:
        problem = {}
    if not problem and reply.status_code in GATEWAY_STATUSES:
        return UnreachableError(f"cannot reach {url}: a gateway answered with the status {reply.status_code}")
    return RefusedError(reply.status_code, problem, reply.headers.get("Retry-After"))


def failure(url: str, error: httpx2.RequestError) -> PexecutorError:
    """Return the error of a request without a reply."""
    return UnreachableError(f"cannot reach {url}: {_reason(error)}")


def _reason(error: httpx2.RequestError) -> str:
    match error:
        case httpx2.ConnectError() if (fault := cause_of(error, ssl.SSLCertVerificationError)) is not None:
            return (
                f"its certificate was not accepted ({fault.verify_message}): use a host name that the certificate has, "
                "and set SSL_CERT_FILE to the file with the certificate of its authority, or pass ssl_context"
            )
        case httpx2.TimeoutException():
            return "the server did not reply in time"
        case httpx2.ConnectError():
            return _ERROR_NUMBER.sub("", str(error)) or "no connection"
        case _:
            return "the connection was lost"
