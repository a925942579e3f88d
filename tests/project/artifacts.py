"""Check what a release holds: ``python -m tests.project.artifacts dist/*`` prints each fault, and exits 1 if any.

A sdist holds every file of the project, and a wheel every file of the package. Both hold nothing else: leftovers of
tests are found, and so are static files, Lua functions or a ``py.typed`` that are missing. The metadata hold the
README as a package index shows it.
"""

from __future__ import annotations

import re
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from email.parser import BytesParser
from pathlib import Path
from typing import Final, NamedTuple

from .tree import PROJECT, project_files

_LINK: Final = re.compile(
    r"\]\(([^)\s]+)|^\[[^\]]+\]:\s*(\S+)|<(?:a|img)\b[^>]*?(?:href|src)=[\"']([^\"']+)", re.MULTILINE
)

_LEADS_SOMEWHERE: Final = re.compile(r"https?://|mailto:|#")
"""How a link begins that works on an index's page, too. Headings keep their anchors there."""

_GENERATED: Final = re.compile(
    r"pexecutor-[^/]+\.dist-info/(METADATA|WHEEL|RECORD|entry_points\.txt|licenses/LICENSE)|PKG-INFO"
)


class Artifact(NamedTuple):
    """The names of the files that a sdist or a wheel holds, and its metadata."""

    names: set[str]
    metadata: bytes


def read_wheel(path: Path) -> Artifact:
    """Read a wheel, where the metadata lie in a folder beside the package."""
    with zipfile.ZipFile(path) as wheel:
        names = {name for name in wheel.namelist() if not name.endswith("/")}
        [metadata] = (name for name in names if name.endswith(".dist-info/METADATA"))
        return Artifact(names, wheel.read(metadata))


def read_sdist(path: Path) -> Artifact:
    """Read a sdist, whose files lie in one folder; the names are relative to that folder."""
    with tarfile.open(path) as sdist:
        members = [member for member in sdist.getmembers() if not member.isdir()]
        [metadata] = (member for member in members if re.fullmatch(r"[^/]+/PKG-INFO", member.name))
        content = sdist.extractfile(metadata)
        assert content is not None
        return Artifact({member.name.partition("/")[2] for member in members}, content.read())


def complaints(path: Path) -> Iterator[str]:
    """Yield what is wrong with a sdist or a wheel."""
    is_wheel = path.suffix == ".whl"
    artifact = (read_wheel if is_wheel else read_sdist)(path)
    files = project_files(PROJECT / "pexecutor") if is_wheel else project_files()
    expected = {str(file.relative_to(PROJECT)) for file in files}
    found = {name for name in artifact.names if not _GENERATED.fullmatch(name)}
    yield from (f"{path.name} lacks {name}" for name in sorted(expected - found))
    yield from (f"{path.name} holds {name}, which is no file of the project" for name in sorted(found - expected))
    yield from (f"{path.name}: {complaint}" for complaint in metadata_complaints(artifact.metadata))


def metadata_complaints(metadata: bytes) -> Iterator[str]:
    """Yield what is wrong with the metadata: missing fields, and links of the README that lead nowhere on an index."""
    message = BytesParser().parsebytes(metadata)
    for field in ("License-Expression", "Requires-Python", "Summary", "Classifier"):
        if message[field] is None:
            yield f"the metadata lack {field}"
    readme = message.get_payload(decode=True)
    assert isinstance(readme, bytes)
    for target in ("".join(groups) for groups in _LINK.findall(readme.decode())):
        if not _LEADS_SOMEWHERE.match(target):
            yield f"the README's link to {target} is relative"


def main(paths: list[Path]) -> int:
    """Print what is wrong with these files; the exit status."""
    found = [complaint for path in paths for complaint in complaints(path)]
    sys.stdout.writelines(f"{complaint}\n" for complaint in found)
    return 1 if found or not paths else 0


if __name__ == "__main__":
    sys.exit(main([Path(argument) for argument in sys.argv[1:]]))
