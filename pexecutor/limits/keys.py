"""``LimitKey``: a limit that bounds how many tasks run at the same time, and the value for which it counts."""

from __future__ import annotations

from typing import NamedTuple


class LimitKey(NamedTuple):
    """A limit, and the value for which it counts.

    Parameters:
        limit: the name of the limit.
        value: the value of the parameter by which the limit counts, as text; empty if it does not count by one.
    """

    limit: str
    value: str = ""
