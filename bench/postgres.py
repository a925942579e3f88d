"""A temporary PostgreSQL server on a Unix socket, for machines on which PostgreSQL is installed."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

USER: Final = "bench"
OTHER_USER: Final = "postgres"
"""The user that runs the server if the benchmark runs as root; PostgreSQL refuses to run as root."""


class Postgres:
    """A running PostgreSQL server."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.url = f"postgresql://{USER}@/postgres?host={folder}"
        self._psql = programs / "psql"

    def empty(self) -> None:
        """Delete all data, so that no run finds data of an earlier run."""
        drop = "set client_min_messages = error; drop schema public cascade; create schema public"
        subprocess.run([self._psql, self.url, "--quiet", "--command", drop], check=True, timeout=60)


def find_postgres() -> Path | None:
    """Return the folder of PostgreSQL's programs, or ``None`` if PostgreSQL is not installed."""
    candidates = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    if (found := shutil.which("initdb")) is not None:
        candidates.append(Path(found).parent)
    return next((folder for folder in candidates if (folder / "initdb").exists()), None)


@contextmanager
def postgres_server(programs: Path) -> Iterator[Postgres]:
    """Run a server with PostgreSQL's default settings inside the context."""
    as_user = OTHER_USER if getpass.getuser() == "root" else None
    with tempfile.TemporaryDirectory() as parent:
        if as_user is not None:
            shutil.chown(parent, as_user)
        data = Path(parent) / "data"
        initdb: list[str | Path] = [programs / "initdb", "--pgdata", data, "--username", USER, "--auth", "trust"]
        subprocess.run(initdb, user=as_user, cwd=parent, stdout=subprocess.DEVNULL, check=True, timeout=60)
        command: list[str | Path] = [programs / "postgres", "-D", data, "-k", parent, "-c", "listen_addresses="]
        process = subprocess.Popen(command, user=as_user, cwd=parent, stderr=subprocess.DEVNULL)
        try:
            server = Postgres(programs, Path(parent))
            _wait_for(programs, parent)
            yield server
        finally:
            process.terminate()
            process.wait(60)


def _wait_for(programs: Path, folder: str) -> None:
    ready: list[str | Path] = [programs / "pg_isready", "--quiet", "--host", folder, "--timeout", "20"]
    for _ in range(200):
        if subprocess.run(ready, check=False, timeout=30).returncode == 0:
            return
        os.sched_yield()
    raise SystemExit("the PostgreSQL server does not answer")
