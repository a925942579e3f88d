"""Check the files of a release: ``python -m tests.project.artifacts dist/*`` prints each fault, and exits 1 if any.

An sdist holds every file of the project, and a wheel every file of the package. Neither holds anything else. So the
check finds leftovers of tests, and missing static files, Lua functions or ``py.typed``. The metadata contain the README
as a package index shows it.
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
"""The prefixes of links that work on an index's page. Links to headings of the README work there too."""

_GENERATED: Final = re.compile(
    r"pexecutor-[^/]+\.dist-info/(METADATA|WHEEL|RECORD|entry_points\.txt|licenses/LICENSE)|PKG-INFO"
)


class Artifact(NamedTuple):
    """The names of the files in an sdist or a wheel, and its metadata."""

    names: set[str]
    metadata: bytes


def read_wheel(path: Path) -> Artifact:
    """Read a wheel. Its metadata are in a folder beside the package."""
    with zipfile.ZipFile(path) as wheel:
        names = {name for name in wheel.namelist() if not name.endswith("/")}
        [metadata] = (name for name in names if name.endswith(".dist-info/METADATA"))
        return Artifact(names, wheel.read(metadata))


def read_sdist(path: Path) -> Artifact:
    """Read an sdist. Its files are in one folder, and the returned names are relative to that folder."""
    with tarfile.open(path) as sdist:
        members = [member for member in sdist.getmembers() if not member.isdir()]
        [metadata] = (member for member in members if re.fullmatch(r"[^/]+/PKG-INFO", member.name))
        content = sdist.extractfile(metadata)
        assert content is not None
        return Artifact({member.name.partition("/")[2] for member in members}, content.read())


def complaints(path: Path) -> Iterator[str]:
    """Yield the faults of an sdist or a wheel."""
    is_wheel = path.suffix == ".whl"
    artifact = (read_wheel if is_wheel else read_sdist)(path)
    files = project_files(PROJECT / "pexecutor") if is_wheel else project_files()
    expected = {str(file.relative_to(PROJECT)) for file in files}
    found = {name for name in artifact.names if not _GENERATED.fullmatch(name)}
    yield from (f"{path.name} lacks {name}" for name in sorted(expected - found))
    yield from (f"{path.name} holds {name}, which is no file of the project" for name in sorted(found - expected))
    yield from (f"{path.name}: {complaint}" for complaint in metadata_complaints(artifact.metadata))


def metadata_complaints(metadata: bytes) -> Iterator[str]:
    """Yield the faults of the metadata: missing fields, and links of the README that do not work on an index."""
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
    """Print the faults of these files; return the exit status."""
    found = [complaint for path in paths for complaint in complaints(path)]
    sys.stdout.writelines(f"{complaint}\n" for complaint in found)
    return 1 if found or not paths else 0


if __name__ == "__main__":
    sys.exit(main([Path(argument) for argument in sys.argv[1:]]))
