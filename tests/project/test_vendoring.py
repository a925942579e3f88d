"""The dashboard's libraries: exact versions, licences and hashes; and the changes that vendoring makes."""

from __future__ import annotations

import re

import pytest

from .vendoring import MANIFEST, VENDOR, hash_of, read_manifest, vendored

PACKAGES = read_manifest()["packages"]
LICENCES = {"MIT", "Apache-2.0"}


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_has_its_licence_and_the_files_of_its_version(name: str) -> None:
    package = PACKAGES[name]

    assert re.fullmatch(r"\d+\.\d+\.\d+", package["version"]), "an exact version"
    assert package["licence"] in LICENCES
    assert "icense" in (VENDOR / package["licence_file"]).read_text(encoding="utf-8")
    for file, entry in package["files"].items():
        changed = f"{file} was changed by hand: change its version in the manifest and run nox -s vendor"
        assert hash_of((VENDOR / file).read_bytes()) == entry["sha256"], changed


def test_each_file_belongs_to_a_package() -> None:
    known = {file for package in PACKAGES.values() for file in [*package["files"], package["licence_file"]]}

    assert {path.name for path in VENDOR.iterdir()} == {*known, MANIFEST.name}


@pytest.mark.parametrize("path", sorted(VENDOR.glob("*.js")), ids=lambda path: path.name)
def test_a_module_imports_only_its_neighbours(path: object) -> None:
    text = (VENDOR / str(path)).read_text(encoding="utf-8")

    for imported in re.findall(r'\bfrom\s*"([^"]+)"', text):
        assert (VENDOR / imported).is_file()
    assert "sourceMappingURL" not in text


def test_imports_by_name_become_relative() -> None:
    text = 'import{h}from"preact";export*from "preact/hooks";import x from"./own.js";\n//# sourceMappingURL=a.map\n'

    changed = vendored(text, {"preact": "preact.js", "preact/hooks": "hooks.js"})

    assert changed == 'import{h}from"./preact.js";export*from "./hooks.js";import x from"./own.js";\n'


@pytest.mark.parametrize(
    ("text", "exports", "changed"),
    [
        ("var plot = 1;", "plot", "var plot = 1;\nexport default plot;\n"),
        ("class A {}\nmodule.exports = A;", "module.exports", "class A {}\nexport default A;\n"),
    ],
)
def test_a_script_becomes_a_module(text: str, exports: str, changed: str) -> None:
    assert vendored(text, {}, exports=exports) == changed
