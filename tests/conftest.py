"""How the tests are spread over processes."""

from __future__ import annotations

import os


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors: a good part of the tests waits, for processes and for timers."""
    return (os.cpu_count() or 1) + 1
