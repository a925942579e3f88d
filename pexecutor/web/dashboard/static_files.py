"""The files of the dashboard, read and compressed once for each process.

Each file lies in one of the folders of ``static/``. Their URLs contain a digest of all files, so a browser may keep a
file for as long as it likes: other contents have other URLs. Modules import one another by relative paths, so a page
that was loaded before an update goes on with the digest of its own version.
"""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from importlib import resources
from typing import Final, NamedTuple

CONTENT_TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "json": "application/json",
    "txt": "text/plain; charset=utf-8",
}

DIGEST_CHARACTERS: Final = 16


class StaticFile(NamedTuple):
    """A file, as it is and compressed with gzip.

    Parameters:
        content_type: the media type.
        content: the bytes.
        compressed: the bytes, compressed; the same as ``content`` if compression does not make it smaller.
        digest: a digest of the content.
    """

    content_type: str
    content: bytes
    compressed: bytes
    digest: str


def make_static_file(name: str, content: bytes) -> StaticFile:
    """Return a file with its media type, its compressed form and its digest."""
    compressed = gzip.compress(content, mtime=0)
    smaller = compressed if len(compressed) < len(content) else content
    return StaticFile(CONTENT_TYPES[name.rpartition(".")[2]], content, smaller, _digest(content))


@cache
def static_files() -> dict[str, StaticFile]:
    """Return all files in the folders of ``static/``, by ``folder/name``."""
    folders = [folder for folder in (resources.files(__package__) / "static").iterdir() if folder.is_dir()]
    names = {f"{folder.name}/{file.name}": file for folder in folders for file in folder.iterdir()}
    return {name: make_static_file(name, names[name].read_bytes()) for name in sorted(names)}


@cache
def version() -> str:
    """Return a digest of all files, which is part of their URLs."""
    return _digest("".join(f"{name} {file.digest}\n" for name, file in static_files().items()).encode())


def page_text() -> str:
    """Return the text of the one page; ``{static}`` and ``{version}`` stand for what the server fills in."""
    return (resources.files(__package__) / "static" / "index.html").read_text(encoding="utf-8")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:DIGEST_CHARACTERS]
