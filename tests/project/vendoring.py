"""Vendor the dashboard's libraries from npm: ``python -m tests.project.vendoring FOLDER``, as ``nox -s vendor`` does.

``static/vendor/manifest.json`` declares the packages with their exact versions and files. To update a library, change
its version there and run the session. It writes the files, their licences and their hashes.

The files are those of the packages, with three changes: a module imports others by relative paths, because a strict
security policy allows no import map; a module that is no ES module becomes one; references to source maps are removed.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any, Final

from .tree import PROJECT

VENDOR: Final = PROJECT / "pexecutor/web/dashboard/static/vendor"
MANIFEST: Final = VENDOR / "manifest.json"

LICENCES: Final = ("LICENSE", "LICENSE.md", "LICENSE.txt")

_SOURCE_MAP: Final = re.compile(r"\s*//# sourceMappingURL=.*")
_IMPORT: Final = re.compile(r'(?<=\bfrom)(\s*)"([^."][^"]*)"')


def read_manifest() -> dict[str, Any]:
    """Return the manifest: the packages by name, and the file that stands for each imported name."""
    manifest: dict[str, Any] = json.loads(MANIFEST.read_text(encoding="utf-8"))
    return manifest


def hash_of(content: bytes) -> str:
    """Return the hash of a file, as the manifest has it."""
    return hashlib.sha256(content).hexdigest()


def vendored(text: str, imports: dict[str, str], *, exports: str = "") -> str:
    """Return the text of a module with the changes that the module's docstring describes.

    Parameters:
        imports: the file for each imported name.
        exports: the global name that a script defines, or `module.exports` if it is a CommonJS module.
    """
    text = _SOURCE_MAP.sub("", text).rstrip() + "\n"
    text = _IMPORT.sub(lambda found: f'{found[1]}"./{imports[found[2]]}"', text)
    if exports == "module.exports":
        return text.replace("module.exports = ", "export default ")
    return text + (f"export default {exports};\n" if exports else "")


def packed(name: str, version: str, folder: Path) -> dict[str, bytes]:
    """Download a package with npm, and return its files by path."""
    command = ["npm", "pack", "--json", "--silent", f"{name}@{version}"]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True, timeout=120)
    [found] = json.loads(run.stdout)
    with tarfile.open(folder / found["filename"]) as archive:
        return {file.name.removeprefix("package/"): _content(archive, file) for file in archive if file.isfile()}


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    opened = archive.extractfile(member)
    assert opened is not None, "the member is a file"
    return opened.read()


def main(folder: Path) -> None:
    """Write the files, the licences and the manifest."""
    manifest = read_manifest()
    for name, package in manifest["packages"].items():
        files = packed(name, package["version"], folder)
        for file, entry in package["files"].items():
            text = vendored(files[entry["from"]].decode(), manifest["imports"], exports=entry.get("exports", ""))
            (VENDOR / file).write_text(text, encoding="utf-8")
            entry["sha256"] = hash_of(text.encode())
        licence = next(files[path] for path in LICENCES if path in files)
        (VENDOR / package["licence_file"]).write_bytes(licence)
    MANIFEST.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
