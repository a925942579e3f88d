"""Test that a command imports only the modules that it needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from .conftest import SECONDS_MAX

PROGRAM = """
import sys
sys.argv = ["pexecutor", *sys.argv[1:]]
from pexecutor.cli.main import main
try:
    main()
finally:
    print(*sorted({"quart", "hypercorn", "httpx2", "rich", "sqlite3", "trio"} & sys.modules.keys()), file=sys.stderr)
"""


COUNTED = PROGRAM.replace("*sorted(", "len(sys.modules), *sorted(")


@pytest.mark.parametrize(
    ("arguments", "modules_max"),
    [
        (["--help"], 240),
        (["submit", "--help"], 240),
        (["token", "new", "a", "--scope", "read"], 240),
        (["list", "--url", "http://127.0.0.1:1"], 330),
    ],
)
def test_it_loads_few_modules(arguments: list[str], modules_max: int) -> None:
    """Each module takes half a millisecond or so. With Trio and the executor, `list` loaded 596."""
    ran = subprocess.run(
        [sys.executable, "-c", COUNTED, *arguments], capture_output=True, text=True, timeout=SECONDS_MAX, check=False
    )
    assert int(ran.stderr.splitlines()[-1].split()[0]) <= modules_max


@pytest.mark.parametrize(
    ("arguments", "loaded"),
    [
        (["--help"], ""),
        (["submit", "--help"], ""),
        (["watch", "--help"], ""),
        (["list", "--url", "http://127.0.0.1:1"], "httpx2"),
        (["logs", "a", "--url", "http://127.0.0.1:1"], "httpx2"),
    ],
)
def test_it_loads_what_it_needs(arguments: list[str], loaded: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, timeout=SECONDS_MAX, check=False
    )
    assert ran.stderr.splitlines()[-1] == loaded
