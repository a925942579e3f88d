"""One seed, one run: Trio's own choices made repeatable.

Trio wakes what is ready in an order of its own choice, on purpose. It has a private switch that makes the choice
depend on a random generator alone; this is the one place that touches it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from trio._core import _run


@contextmanager
def deterministic_scheduling(seed: int) -> Iterator[None]:
    """While in here, ``trio.run`` schedules by this seed."""
    before = _run._ALLOW_DETERMINISTIC_SCHEDULING, _run._r.getstate()
    _run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
    _run._r.seed(seed)
    try:
        yield
    finally:
        _run._ALLOW_DETERMINISTIC_SCHEDULING = before[0]  # type: ignore[misc]
        _run._r.setstate(before[1])
