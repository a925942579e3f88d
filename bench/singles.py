"""Send one task per request: with wrk, a load generator in C, or with the client of ``bench.load`` if wrk is missing.

A client in Python is slower than the fast listener, so with it the figures would measure the client.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Final, NamedTuple

import msgspec

from .jobs import NO_OP
from .load import CONNECTIONS, SECONDS_MAX, load, post
from .results import BENCH

REQUESTS: Final = 1500
SECONDS: Final = 1
"""The duration of a load by wrk, which accepts whole seconds only."""


class Sent(NamedTuple):
    """The result of a load.

    Parameters:
        answered: the number of successful replies. wrk does not wait for the replies to its last requests.
        seconds: the duration of the load.
    """

    answered: int
    seconds: float

    @property
    def rate(self) -> float:
        """The number of replies per second."""
        return self.answered / self.seconds


class _Done(msgspec.Struct):
    answered: int
    seconds: float
    failed: int


def send_singles(port: int, path: str, prefix: str, *, quick: bool) -> Sent:
    """Send no-op tasks over many connections, each with one request in flight at all times.

    Raises:
        SystemExit: a request failed.
    """
    if (wrk := shutil.which("wrk")) is not None:
        return _by_wrk(wrk, f"http://127.0.0.1:{port}{path}", prefix)
    names = [f"{prefix}-{number}" for number in range(REQUESTS // (20 if quick else 1))]
    done = load(port, [post(path, json.dumps({"name": name, "handler": NO_OP}).encode()) for name in names])
    return Sent(done.answered, done.seconds)


def _by_wrk(wrk: str, url: str, prefix: str) -> Sent:
    command = [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "-s", str(BENCH / "wrk.lua"), url, "--", prefix]
    output = subprocess.run(command, capture_output=True, check=True, timeout=SECONDS_MAX).stdout
    done = msgspec.json.decode(output.splitlines()[-1], type=_Done)
    if done.failed or not done.answered:
        raise SystemExit(f"wrk: {done.failed} requests to {url} failed, {done.answered} were answered")
    return Sent(done.answered, done.seconds)
