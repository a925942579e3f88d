"""TLS on our own sockets: the certificate, and the handshake.

HTTP/1.1 is what is spoken inside, and what is offered in the handshake (ALPN). A handshake has a bounded time and holds
up nobody but its own connection. The end of a connection is that of its TCP connection, as HTTP needs no other: each
reply says how long it is.
"""

from __future__ import annotations

import ssl
from typing import Final

import trio

from ...errors import ConfigError

HANDSHAKE_SECONDS_MAX: Final = 10.0


def tls_context(certfile: str | None, keyfile: str | None) -> ssl.SSLContext | None:
    """What connections are secured with, or ``None`` when they are not.

    Parameters:
        certfile: a PEM file: the certificate, those up to the root, and the key unless that is elsewhere.
        keyfile: a PEM file with the key.

    Raises:
        ConfigError: they cannot be used.
    """
    if certfile is None:
        if keyfile is not None:
            raise ConfigError("tls_keyfile is of no use without tls_certfile: give both")
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION  # which would cost us a handshake whenever a client likes
    try:
        context.load_cert_chain(certfile, keyfile, password="")  # which is not asked for at the terminal then
    except ssl.SSLError as error:
        files = certfile if keyfile is None else f"{certfile} and {keyfile}"
        raise ConfigError(f"cannot use {files}: they must be PEM, belong together, and have no passphrase") from error
    except OSError as error:
        files = certfile if keyfile is None else f"{certfile} or {keyfile}"
        raise ConfigError(f"cannot read {files}: {error.strerror}") from error
    return context


async def secure(stream: trio.SocketStream, context: ssl.SSLContext) -> trio.SSLStream[trio.SocketStream] | None:
    """A connection after its handshake; ``None`` when that failed or took too long."""
    secured = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
    return secured if await shake_hands(secured, HANDSHAKE_SECONDS_MAX) else None


async def shake_hands(stream: trio.SSLStream[trio.SocketStream], seconds_max: float) -> bool:
    """Do the handshake; whether that has succeeded in this time."""
    try:
        with trio.fail_after(seconds_max):
            await stream.do_handshake()
    except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
        return False
    return True
