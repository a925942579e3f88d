"""The project's files, without those that git ignores."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).parents[2]

IGNORED: Final = [".git", *(PROJECT / ".gitignore").read_text(encoding="utf-8").replace("/\n", "\n").split()]


def project_files(folder: Path = PROJECT) -> Iterator[Path]:
    """Yield every file of the project that git does not ignore."""
    for path in sorted(folder.iterdir()):
        if not any(fnmatch(path.name, pattern) for pattern in IGNORED):
            yield from project_files(path) if path.is_dir() else [path]
