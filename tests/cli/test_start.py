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
    print(*sorted({"quart", "hypercorn", "httpx2", "rich"} & sys.modules.keys()), file=sys.stderr)
"""


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
