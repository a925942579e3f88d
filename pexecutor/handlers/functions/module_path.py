"""The module search path: the standard library comes first, so a handler file ``token.py`` cannot shadow it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_STANDARD_LIBRARY: Final = Path(os.__file__).parent
_STANDARD: Final = frozenset({str(_STANDARD_LIBRARY), str(_STANDARD_LIBRARY / "lib-dynload")})


def add_directory(directory: str) -> None:
    """Add a directory to the search path, after the standard library and before installed packages."""
    if directory not in sys.path:
        last = max((place for place, entry in enumerate(sys.path) if entry in _STANDARD), default=-1)
        sys.path.insert(last + 1, directory)


def use_module_path(module_path: Iterable[str]) -> None:
    """Use the search path of another process, but keep this process's standard library first."""
    standard = [entry for entry in sys.path if entry in _STANDARD]
    sys.path[:] = [*standard, *(entry for entry in module_path if entry not in standard)]
