"""Tasks one a request: by wrk, which is a program in C, and where it is not there by a client of our own.

What a client costs is not to be what is measured, and one in Python is slower than the quicker of our servers.
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
"""How long wrk sends; it knows whole seconds only."""


class Sent(NamedTuple):
    """What became of the requests.

    Parameters:
        answered: how many succeeded; wrk leaves the last ones without waiting for their answers.
        seconds: how long that took.
    """

    answered: int
    seconds: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answered / self.seconds


class _Done(msgspec.Struct):
    answered: int
    seconds: float
    failed: int


def send_singles(port: int, path: str, prefix: str, *, quick: bool) -> Sent:
    """Send no-op jobs over many connections, each with a request under way at all times.

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
        raise SystemExit(f"of wrk's requests to {url} {done.failed} failed, {done.answered} were answered")
    return Sent(done.answered, done.seconds)
