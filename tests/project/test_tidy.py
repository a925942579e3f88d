"""The shape of the tree: who may import whom, how long things may be, and what lies about."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Final

import pytest

from .conftest import PROJECT
from .tree import project_files

PACKAGE = PROJECT / "pexecutor"
MODULES = sorted(PACKAGE.rglob("*.py"))

BODY_LINES_MAX: Final = 70
MODULE_LINES_MAX: Final = 400

MAY_IMPORT: Final = {
    "errors": set[str](),
    "traceparent": set[str](),
    "values": set[str](),
    "notify": {"values"},
    "access": {"errors"},
    "task": {"errors", "traceparent"},
    "shards": set[str](),
    "registry": {"shards", "task", "errors"},
    "alike": {"task"},
    "histogram": {"alike"},
    "stores": {"alike", "registry", "histogram", "task", "errors", "values", "notify"},
    "handlers": {"task", "errors", "values", "notify"},
    "rate": set[str](),
    "events": {"alike", "task"},
    "timeline": {"alike", "task"},
    "attempt": {"handlers", "task", "errors", "values"},
    "statistics": {"alike", "stores", "histogram", "task"},
    "recorder": {"attempt", "stores", "task", "errors"},
    "pool": {"recorder", "attempt", "statistics", "handlers", "stores", "task", "errors"},
    "executor": {"pool", "statistics", "rate", "events", "timeline", "handlers", "stores", "task", "errors", "notify"},
    "__init__": {"executor", "statistics", "handlers", "stores", "task", "errors"},
    "config": {"stores", "errors"},
    "streams": set[str](),
    "log": {"config", "streams", "task"},
    "web": {
        "__init__",
        "executor",
        "statistics",
        "histogram",
        "events",
        "timeline",
        "handlers",
        "stores",
        "task",
        "traceparent",
        "access",
        "errors",
        "config",
        "streams",
    },
    "guard": set[str](),
    "stop": {"guard", "executor", "handlers", "statistics"},
    "server": {"web", "executor", "statistics", "stop", "handlers", "stores", "config", "errors", "log"},
    "host": {"executor"},
    "asgi": {"server", "host", "stop", "web", "executor", "config", "errors", "log", "streams"},
    "client": {"errors"},
    "conformance": {"stores", "task", "errors"},
    "commands": {"client", "conformance", "handlers", "stores", "config", "access", "task", "errors"},
    "cli": {"__init__", "commands", "server", "web", "config", "errors", "log", "streams", "stop"},
    "__main__": {"cli"},
}
"""The parts of the package, and what each may know of the others. Down only; a new part is entered here."""

FRAMEWORKS: Final = {
    "quart",
    "quart_trio",
    "hypercorn",
    "h11",
    "click",
    "structlog",
    "werkzeug",
    "prometheus_client",
    "httptools",
    "jinja2",
    "markupsafe",
}

METADATA: Final = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def normal(name: str) -> str:
    """Return the normalized name of a distribution, without a requirement's extras and versions."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=~!; ]", name)[0]).lower()


DEPENDENCIES: Final = {normal(requirement) for requirement in METADATA["dependencies"]}

EXTRA_DEPENDENCIES: Final = {
    extra: {normal(requirement) for requirement in requirements}
    for extra, requirements in METADATA["optional-dependencies"].items()
}

EXTRAS: Final = {"valkey", "fast"}
"""Folders that may know what an extra of their name brings."""

MAY_KNOW_FRAMEWORKS: Final = {"web", "server", "host", "stop", "asgi", "cli", "commands", "log", "__main__"}

DISTRIBUTIONS: Final = packages_distributions()
"""The names of the installed distributions that bring a package, by the name of the package."""

TOP_LEVEL: Final = {
    ".ci",
    ".dockerignore",
    ".flake8",
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Dockerfile",
    "LICENSE",
    "README.md",
    "SECURITY.md",
    "bench",
    "docs",
    "examples",
    "noxfile.py",
    "pexecutor",
    "pyproject.toml",
    "tests",
}

PICTURES: Final = {".png"}

FORBIDDEN: Final = {
    "a path of somebody's machine": re.compile("/" + r"(root|work)\b"),
    "work left undone": re.compile("TO" + "DO|FIX" + "ME"),
    "a test left out": re.compile(r"mark\.sk" + r"ip|pytest\.sk" + "ip|importor" + "skip|x" + r"fail\("),
}


def part_of(module: Path) -> str:
    """The part of the package that a module belongs to: its folder or its own name."""
    return module.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(module: Path) -> Iterator[tuple[str, ...]]:
    """Every module that is imported anywhere in one, as the parts of its absolute name."""
    package = ("pexecutor", *module.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        match node:
            case ast.Import():
                yield from (tuple(alias.name.split(".")) for alias in node.names)
            case ast.ImportFrom():
                base = package[: len(package) - node.level + 1] if node.level else ()
                full = (*base, *(node.module.split(".") if node.module else ()))
                yield from ((*full, alias.name) for alias in node.names) if full == ("pexecutor",) else [full]


PARTS: Final = {part_of(module) for module in MODULES}


def parts_imported(module: Path) -> set[str]:
    """The parts of the package that a module imports."""
    found = set()
    for _, *rest in (name for name in imported(module) if name[0] == "pexecutor"):
        found.add(rest[0] if rest and rest[0] in PARTS else "__init__")
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
class TestModule:
    def test_it_imports_only_downwards(self, module: Path) -> None:
        part = part_of(module)

        assert part in MAY_IMPORT, "a new part of the package: say in MAY_IMPORT what it may know"
        assert parts_imported(module) <= MAY_IMPORT[part] | {part}

    def test_it_knows_frameworks_only_at_the_edge(self, module: Path) -> None:
        if part_of(module) not in MAY_KNOW_FRAMEWORKS:
            assert FRAMEWORKS.isdisjoint(name[0] for name in imported(module))

    def test_it_imports_only_what_is_declared(self, module: Path) -> None:
        extras = EXTRAS.intersection(module.relative_to(PACKAGE).parts)
        declared = DEPENDENCIES.union(*(EXTRA_DEPENDENCIES[extra] for extra in extras))

        for name, *_ in imported(module):
            if name != "pexecutor" and name not in sys.stdlib_module_names:
                assert declared.intersection(map(normal, DISTRIBUTIONS[name])), f"declare what brings {name}"

    def test_it_says_what_it_is(self, module: Path) -> None:
        assert ast.get_docstring(ast.parse(module.read_text(encoding="utf-8")))

    def test_it_is_of_a_size_that_can_be_read(self, module: Path) -> None:
        text = module.read_text(encoding="utf-8")

        assert len(text.splitlines()) <= MODULE_LINES_MAX
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert _body_lines(node) <= BODY_LINES_MAX, node.name


def _body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    end = function.end_lineno
    assert end is not None
    return end - function.body[0].lineno + 1


def test_each_dependency_is_imported() -> None:
    names = {name for module in MODULES for name, *_ in imported(module)}
    used = {normal(distribution) for name in names for distribution in DISTRIBUTIONS.get(name, [])}

    assert DEPENDENCIES.union(*EXTRA_DEPENDENCIES.values()) <= used


def test_importing_the_package_imports_no_framework() -> None:
    program = f"import sys, pexecutor; print(sorted({FRAMEWORKS} & sys.modules.keys()))"

    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    assert run.stdout == "[]\n"


def test_nothing_lies_about_at_the_top() -> None:
    assert {path.relative_to(PROJECT).parts[0] for path in project_files()} == TOP_LEVEL


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_holds(what: str) -> None:
    for path in (path for path in project_files() if path.suffix not in PICTURES):
        found = FORBIDDEN[what].search(path.read_text(encoding="utf-8"))
        assert found is None, f"{path.relative_to(PROJECT)} has {found}"
