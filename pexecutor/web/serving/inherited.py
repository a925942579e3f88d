"""A listening socket that a service manager has opened and passes on (socket activation, ``LISTEN_FDS``).

The manager keeps the socket open while the server is restarted. So clients can connect at any time: they wait in the
kernel's backlog until the next server accepts them.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import MutableMapping
from typing import Final

import structlog

from .listener import ListenError, set_options

FIRST_FD: Final = 3
"""The descriptor of the first socket that a manager passes on."""

VARIABLES: Final = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "LISTEN_PIDFDID")
"""The variables of the protocol. They are removed, because a command that a task runs does not get the socket."""

_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)

_log = structlog.get_logger()


def take_inherited(environment: MutableMapping[str, str], fd: int = FIRST_FD) -> socket.socket | None:
    """Return the socket that the environment announces, or ``None``; remove the variables from the environment.

    Raises:
        ListenError: the server cannot serve on what the manager passes on; the message says why.
    """
    number, pid, *_ = drop_variables(environment)
    if number in ("", "0"):
        return None
    if pid != str(os.getpid()):
        _log.warning("no socket is inherited: LISTEN_PID is another process; start pexecutor with exec", listen_pid=pid)
        return None
    if number != "1":
        raise ListenError(f"LISTEN_FDS is {number}, but the server serves on one socket: write one ListenStream= line")
    return _listener(fd)


def drop_variables(environment: MutableMapping[str, str]) -> list[str]:
    """Remove the variables of the protocol from the environment, and return their values; "" if one is not set."""
    return [environment.pop(name, "") for name in VARIABLES]


def _listener(fd: int) -> socket.socket:
    try:
        is_socket = stat.S_ISSOCK(os.fstat(fd).st_mode)
    except OSError as error:
        raise ListenError(f"LISTEN_FDS is set, but descriptor {fd} is not open: {error.strerror}") from error
    if not is_socket:
        raise ListenError(f"the inherited descriptor {fd} is not a socket: pass on a listening socket")
    listener = socket.socket(fileno=fd)
    if (fault := _fault(listener)) is not None:
        listener.detach()  # the descriptor belongs to the service manager, and the server ends now
        raise ListenError(f"cannot serve on the inherited descriptor {fd}: {fault}")
    listener.set_inheritable(False)
    listener.setblocking(False)
    if listener.family != socket.AF_UNIX:
        set_options(listener)
    return listener


def _fault(listener: socket.socket) -> str | None:
    if listener.type != socket.SOCK_STREAM or listener.family not in _FAMILIES:
        return "it is not a TCP or Unix stream socket; use ListenStream="
    if not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return "it does not listen; use ListenStream= and Accept=no"
    return None
