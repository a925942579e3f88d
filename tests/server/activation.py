"""A stand-in for a service manager that opens the listening socket and passes it on to servers, one after the other."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

FIRST_FD: Final = 3

_PASS_ON: Final = f"""
import os, sys
fd = int(sys.argv[1])
if fd != {FIRST_FD}:
    os.dup2(fd, {FIRST_FD})
    os.close(fd)
os.environ |= {{"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid()), "LISTEN_FDNAMES": "pexecutor.socket"}}
os.execv(sys.executable, [sys.executable, "-m", *sys.argv[2:]])
"""


def activated(listener: socket.socket, module: Sequence[str], log: Path, **variables: str) -> subprocess.Popen[str]:
    """Start a module of Python with the socket as a service manager does; its standard output is piped."""
    os.set_inheritable(listener.fileno(), True)
    with log.open("ab") as stderr:
        return subprocess.Popen(
            [sys.executable, "-c", _PASS_ON, str(listener.fileno()), *module],
            pass_fds=[listener.fileno()],
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,
        )
