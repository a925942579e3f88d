"""The parts of the benchmark: one module for each, which defines ``PART``."""

from __future__ import annotations

from importlib import import_module
from typing import Final

from ..frame import Part

NAMES: Final = ("shared", "nodes", "peers", "accepting", "http", "spellings", "latency", "reads", "recovery", "idle")


def load_part(name: str) -> Part:
    """Return a part by its name."""
    part = import_module(f"{__name__}.{name}").PART
    assert isinstance(part, Part)
    return part
