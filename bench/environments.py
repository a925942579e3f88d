"""Virtual environments of the peer libraries: uv creates one for each in ``.bench/``, and later runs reuse them.

Each peer is isolated from pexecutor and from the other peers. It is installed as its documentation recommends, with
the C parser for the Redis protocol and the faster event loop where the library supports them.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

from .results import BENCH

CACHE: Final = BENCH.parent / ".bench"
PEERS: Final = BENCH / "peers"

REQUIREMENTS: Final = {
    "huey": ["huey>=3.5", "redis>=8.1", "hiredis>=3.5"],
    "saq": ["saq[redis,hiredis]>=0.26", "typing-extensions>=4.16", "uvloop>=0.22"],
    "taskiq": ["taskiq[uv]>=0.13", "taskiq-redis>=1.2", "hiredis>=3.5"],
    "rq": ["rq>=3.0", "hiredis>=3.5"],
    "celery": ["celery[redis]>=5.7", "hiredis>=3.5"],
    "dramatiq": ["dramatiq[redis]>=2.2", "hiredis>=3.5"],
    "arq": ["arq>=0.28", "hiredis>=3.5", "uvloop>=0.22"],
    "procrastinate": ["procrastinate>=3.10", "psycopg[binary]>=3.3", "uvloop>=0.22"],
}
"""The requirements to install for each peer."""


def peer_command(peer: str, program: str) -> list[str | Path]:
    """Return the command that starts a peer's program; create or update its environment first if needed.

    Raises:
        SystemExit: the peer cannot be installed.
    """
    folder = CACHE / peer
    python = folder / "bin" / "python"
    installed = folder / "requirements"
    wanted = "\n".join(REQUIREMENTS[peer])
    if not installed.exists() or installed.read_text(encoding="utf-8") != wanted:
        print(f"installing {peer} in {folder}", flush=True)
        _uv("venv", "--quiet", "--clear", "--python", sys.executable, str(folder))
        _uv("pip", "install", "--quiet", "--python", str(python), *REQUIREMENTS[peer])
        installed.write_text(wanted, encoding="utf-8")
    return [python, PEERS / f"{program}.py"]


def peer_versions(*peers: str) -> dict[str, str]:
    """Return the version of each peer that is installed."""
    versions = {}
    for peer in peers:
        python = CACHE / peer / "bin" / "python"
        if python.exists():
            program = f"from importlib.metadata import version; print(version({peer!r}))"
            run = subprocess.run([python, "-c", program], capture_output=True, text=True, check=True)
            versions[peer] = run.stdout.strip()
    return versions


def _uv(*arguments: str) -> None:
    if subprocess.run([sys.executable, "-m", "uv", *arguments], check=False).returncode:
        raise SystemExit("cannot install a peer; see uv's output above")
