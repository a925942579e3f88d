"""The dashboard's JavaScript modules: their syntax, the direction of their imports, and no unused import."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from graphlib import TopologicalSorter
from importlib import resources
from pathlib import Path
from typing import Final

import pytest

STATIC: Final = Path(str(resources.files("pexecutor.web.dashboard"))) / "static"

MODULES: Final = sorted(path for path in STATIC.glob("*/*.js") if path.parent.name != "vendor")

MAY_IMPORT: Final = {
    "api": {"vendor"},
    "components": {"api", "vendor"},
    "app": {"forms", "components", "api"},
    "forms": {"app", "components", "api"},
    "log": {"forms", "components", "api", "vendor"},
    "pages": {"log", "forms", "app", "components", "api"},
}
"""Each folder with the folders that it may import, besides itself. ``app`` opens forms, and forms go to addresses;
circles of modules are ruled out below. A page is loaded by an import inside a function, which is not restricted."""

_IMPORT: Final = re.compile(r'^(?:import|export) (?:([^"]*?) from )?"(\.[^"]+)";$', re.MULTILINE)
_WORD: Final = re.compile(r"[\w$]+")


def imports_of(module: Path) -> Iterator[tuple[set[str], Path]]:
    """Yield the names and the module of each static import and each re-export of a module."""
    for found in _IMPORT.finditer(module.read_text(encoding="utf-8")):
        names = re.sub(r"\S+ as ", "", found[1] or "")
        yield set(_WORD.findall(names)), (module.parent / found[2]).resolve()


def folder(module: Path) -> str:
    return module.parent.name


@pytest.mark.parametrize("module", MODULES, ids=lambda path: f"{path.parent.name}/{path.name}")
class TestModule:
    def test_it_imports_only_what_its_folder_may(self, module: Path) -> None:
        for _, other in imports_of(module):
            allowed = {folder(module), *MAY_IMPORT[folder(module)]}
            assert folder(other) in allowed, f"{folder(module)} must not import {folder(other)}/{other.name}"
            assert other.is_file()

    def test_it_uses_what_it_imports(self, module: Path) -> None:
        text = module.read_text(encoding="utf-8")
        used = _WORD.findall(re.sub(r'^import [^"]*"[^"]+";$', "", text, flags=re.MULTILINE))

        unused = set().union(*(names for names, _ in imports_of(module))) - set(used)
        assert unused == set()


def test_no_modules_import_one_another_in_a_circle() -> None:
    order = TopologicalSorter({module: [other for _, other in imports_of(module)] for module in MODULES})

    order.prepare()  # raises CycleError, which names the modules


def test_node_can_parse_each_module(tmp_path: Path) -> None:
    program = """import { readFileSync } from "node:fs"; import vm from "node:vm";
        for (const identifier of process.argv.slice(1))
            new vm.SourceTextModule(readFileSync(identifier, "utf8"), { identifier });"""
    command = ["node", "--experimental-vm-modules", "--input-type=module", "--eval", program, *map(str, MODULES)]

    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert run.returncode == 0, run.stderr
