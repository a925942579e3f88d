"""TLS on the listener's sockets: the certificate and the handshake.

The handshake offers HTTP/1.1 (ALPN). It has a time limit and delays only its own connection. A connection ends with its
TCP connection, without a ``close_notify``: HTTP does not need one, because each reply declares its own length.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

import trio

from ...errors import ConfigError

HANDSHAKE_SECONDS_MAX: Final = 10.0

PEM_BYTES_MAX: Final = 2 * 1024 * 1024
"""The longest file of a certificate or a key."""


def tls_context(certfile: str | None, keyfile: str | None) -> ssl.SSLContext | None:
    """Return the TLS context for connections, or ``None`` if no certificate is configured.

    Parameters:
        certfile: a PEM file with the certificate, its chain, and the key unless ``keyfile`` has it.
        keyfile: a PEM file with the key.

    Raises:
        ConfigError: the files cannot be used.
    """
    if certfile is None:
        if keyfile is not None:
            raise ConfigError("tls_keyfile needs tls_certfile: set both")
        return None
    for file in (certfile, keyfile):
        if file is not None:
            _check_file(Path(file))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_RENEGOTIATION  # otherwise a client can make the server compute handshakes at will
    try:
        # With an empty password, an encrypted key is an error. Without one, OpenSSL would prompt at the terminal.
        context.load_cert_chain(certfile, keyfile, password="")
    except ssl.SSLError as error:
        files = certfile if keyfile is None else f"{certfile} and {keyfile}"
        raise ConfigError(
            f"cannot use {files}: the files must be PEM, the key must match the certificate and have no passphrase"
        ) from error
    except OSError as error:
        files = certfile if keyfile is None else f"{certfile} or {keyfile}"
        raise ConfigError(f"cannot read {files}: {error.strerror}") from error
    return context


def _check_file(path: Path) -> None:
    """Raise ``ConfigError`` if a file cannot be read to its end, such as a named pipe, or is too long."""
    try:
        if not path.is_file() and path.exists():
            raise ConfigError(f"{path} is not a regular file: name a PEM file")
        if (size := path.stat().st_size) > PEM_BYTES_MAX:
            raise ConfigError(f"{path} has {size} bytes, and the limit is {PEM_BYTES_MAX}: name a PEM file")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error


async def secure(stream: trio.SocketStream, context: ssl.SSLContext) -> trio.SSLStream[trio.SocketStream] | None:
    """Return a connection after its TLS handshake, or ``None`` if the handshake failed or took too long."""
    secured = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
    return secured if await shake_hands(secured, HANDSHAKE_SECONDS_MAX) else None


async def shake_hands(stream: trio.SSLStream[trio.SocketStream], seconds_max: float) -> bool:
    """Do the TLS handshake; return whether it succeeded in time."""
    try:
        with trio.fail_after(seconds_max):
            await stream.do_handshake()
    except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
        return False
    return True
