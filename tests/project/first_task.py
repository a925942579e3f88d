"""Run one task as a new user would: ``python -m tests.project.first_task bin/pexecutor`` starts a server and submits.

The argument is the command that starts pexecutor. This module imports the standard library only.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

SECONDS_MAX: Final = 60
"""A bound for each step; no step takes this long unless it hangs."""


def run_one_task(command: list[str], folder: Path) -> str:
    """Start a server in a folder, run one task, and stop the server; return what the submit prints."""
    serve = [*command, "--port", "0", "--store", "memory", "--data-dir", str(folder)]
    with subprocess.Popen(serve, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as server:
        try:
            submit = [*command, "submit", "first", "--duration", "1ms", "--wait", "--json", "--url", _url(server)]
            done = subprocess.run(submit, cwd=folder, capture_output=True, text=True, timeout=SECONDS_MAX, check=True)
            server.terminate()
            _, log = server.communicate(timeout=SECONDS_MAX)
        finally:
            server.kill()
    if server.returncode != 0:
        raise AssertionError(f"the server ended with status {server.returncode}: {log}")
    return done.stdout


def _url(server: subprocess.Popen[str]) -> str:
    assert server.stderr is not None
    seen = []
    for line in server.stderr:
        seen.append(line)
        if found := re.search(r"http://[\d.]+:\d+", line):
            return found[0]
    raise AssertionError(f"the server ended before it listened: {''.join(seen)}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home:
        sys.stdout.write(run_one_task([str(Path(sys.argv[1]).absolute()), *sys.argv[2:]], Path(home)))
