"""The structure of the tree: allowed imports, maximum lengths, and no stray files."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from graphlib import TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Final

import pytest

from pexecutor.web.routes import ROUTES

from .conftest import PROJECT
from .tree import project_files

PACKAGE = PROJECT / "pexecutor"
MODULES = sorted(PACKAGE.rglob("*.py"))

BODY_LINES_MAX: Final = 40
MODULE_LINES_MAX: Final = 400
ROOT_MODULES_MAX: Final = 13
FOLDER_LINES_MAX: Final = 10

CONTRACTS: Final = {"stores"}
"""Folders whose ``__init__`` is a contract, and may be as long as the contract needs."""

MAY_IMPORT: Final = {
    "limits": set[str](),
    "errors": set[str](),
    "traceparent": set[str](),
    "validation": {"errors"},
    "access": {"validation", "errors"},
    "values": set[str](),
    "task": {"errors", "traceparent"},
    "observe": {"values", "task"},
    "handlers": {"values", "task", "limit_key", "validation", "errors"},
    "handlers/http": {"handlers", "values", "validation", "task", "errors"},
    "handlers/processes": {"handlers", "values", "task", "errors"},
    "handlers/functions": {"handlers", "handlers/processes", "observe", "values", "task", "errors"},
    "schedules": {"stores", "observe", "task", "validation", "errors"},
    "notifications": {"stores", "handlers/http", "observe", "task", "validation", "errors"},
    "stores": {"observe", "values", "task", "errors"},
    "stores/local": {"stores", "observe", "values", "task", "errors"},
    "stores/sqlite": {"stores", "stores/local", "stores/moves", "observe", "values", "task", "validation", "errors"},
    "stores/valkey": {"stores", "stores/local", "stores/moves", "observe", "values", "task", "errors"},
    "stores/moves": {"stores", "stores/local", "stores/sqlite", "stores/valkey", "task", "errors"},
    "logs": {"stores", "handlers", "task", "errors"},
    "core": {"logs", "schedules", "notifications", "stores", "observe", "handlers", "values", "task", "errors"},
    ".": {"client", "core", "handlers", "schedules", "stores", "stores/local", "task", "errors"},
    "config": {"stores", "validation", "errors"},
    "process": {"core", "handlers/processes", "errors"},
    "log": {"process", "config", "stores", "task"},
    "conformance": {"stores", "stores/local", "stores/sqlite", "stores/valkey", "task", "errors"},
    "web": {"core", "handlers", "config", "errors"},
    "web/api": {
        "process",
        "logs",
        "schedules",
        "core",
        "observe",
        "stores",
        "handlers",
        "config",
        "access",
        "task",
        "traceparent",
        "validation",
        "errors",
    },
    "web/api/hooks": {"web/api", "core", "handlers", "stores", "config", "task", "validation", "errors"},
    "web/access": {"web/api", "config", "access", "errors"},
    "web/serving": {"web/api", "web/access", "access", "errors"},
    "web/fast": {"web/api", "web/access", "web/serving", "access", "errors", "task"},
    "web/docs": {
        ".",
        "web/api",
        "web/access",
        "core",
        "observe",
        "schedules",
        "stores",
        "handlers",
        "config",
        "task",
        "errors",
    },
    "web/dashboard": {"web/api"},
    "reload": {
        *("web", "web/serving", "process", "core", "handlers", "schedules", "notifications", "observe", "config"),
        *("errors", "log"),
    },
    "server": {
        "reload",
        "web",
        "process",
        "core",
        "logs",
        "handlers",
        "schedules",
        "notifications",
        "stores",
        "config",
        "errors",
        "log",
    },
    "asgi": {"reload", "server", "process", "log", "web", "core", "config", "errors"},
    "client": {"client/sync", "task", "errors"},
    "client/aio": {"client", "errors"},
    "client/sync": {"client", "errors"},
    "testing": {"client/aio", "client/sync", "errors"},
    "cli/watch": {"cli", "client", "errors"},
    "cli": {
        ".",
        "client",
        "process",
        "conformance",
        "server",
        "web",
        "handlers",
        "notifications",
        "schedules",
        "stores",
        "config",
        "log",
        "access",
        "task",
        "validation",
        "errors",
    },
    "__main__": {"cli"},
}
"""Each folder of the package, and each module of its root, with what it may import. Imports point down. A folder that
holds others may import from them, and everything from ``limits``. Import circles of modules are ruled out below."""

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

LOADED_BY_THE_STANDARD_LIBRARY: Final = {"tzdata"}
"""Dependencies that no module imports: ``zoneinfo`` finds its data by itself."""

EXTRA_DEPENDENCIES: Final = {
    extra: {normal(requirement) for requirement in requirements}
    for extra, requirements in METADATA["optional-dependencies"].items()
}

EXTRAS: Final = {"valkey", "fast", "testing"}
"""Folders that may import the packages of the extra with their name."""

MAY_KNOW_FRAMEWORKS: Final = {"web", "process", "reload", "server", "asgi", "cli", "log", "__main__"}

DISTRIBUTIONS: Final = packages_distributions()
"""The names of the installed distributions that provide a package, by the package's name."""

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

A_PATH: Final = re.compile(r"(?<![\w.*<])/[a-z][\w./{}-]*(?!\S* [a-z])")
"""A path in a literal, but not in a sentence."""

PICTURES: Final = {".png"}

FORBIDDEN: Final = {
    "a path of somebody's machine": re.compile("/" + r"(root|work)\b"),
    "work left undone": re.compile("TO" + "DO|FIX" + "ME"),
    "a test left out": re.compile(r"mark\.sk" + r"ip|pytest\.sk" + "ip|importor" + "skip|x" + r"fail\("),
}


def part_of(module: Path) -> str:
    """Return the folder that a module belongs to, or the name of a module of the root."""
    folder, name = module.relative_to(PACKAGE).parent, module.stem
    return folder.as_posix() if folder.parts or name == "__init__" else name


def imported(module: Path) -> Iterator[tuple[str, ...]]:
    """Yield every name that a module imports anywhere, as the parts of its absolute name."""
    package = ("pexecutor", *module.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        match node:
            case ast.Import():
                yield from (tuple(alias.name.split(".")) for alias in node.names)
            case ast.ImportFrom():
                base = package[: len(package) - node.level + 1] if node.level else ()
                full = (*base, *(node.module.split(".") if node.module else ()))
                yield from ((*full, alias.name) for alias in node.names)


MODULE_OF: Final = {("pexecutor", *module.relative_to(PACKAGE).with_suffix("").parts): module for module in MODULES}


def modules_imported(module: Path) -> set[Path]:
    """Return the modules of the package that a module imports; a type-only import counts."""
    names = [name for name in imported(module) if name[0] == "pexecutor"]
    candidates = [(name, (*name, "__init__"), name[:-1], (*name[:-1], "__init__")) for name in names]
    return {next(MODULE_OF[one] for one in several if one in MODULE_OF) for several in candidates} - {module}


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
class TestModule:
    def test_it_imports_only_downwards(self, module: Path) -> None:
        part = part_of(module)

        assert part in MAY_IMPORT, "a new part of the package: say in MAY_IMPORT what it may import"
        for other in map(part_of, modules_imported(module)):
            allowed = any(
                other == name or other.startswith(f"{name}/") for name in {part, "limits", *MAY_IMPORT[part]} - {"."}
            )
            assert allowed or other in MAY_IMPORT[part], f"{part} must not import {other}"

    def test_it_imports_its_own_package_relatively(self, module: Path) -> None:
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                assert node.module is not None
                assert node.module.split(".")[0] != "pexecutor"

    def test_it_knows_frameworks_only_at_the_edge(self, module: Path) -> None:
        if part_of(module).split("/")[0] not in MAY_KNOW_FRAMEWORKS:
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

    assert DEPENDENCIES.union(*EXTRA_DEPENDENCIES.values()) - LOADED_BY_THE_STANDARD_LIBRARY <= used


def test_no_modules_import_one_another_in_a_circle() -> None:
    order = TopologicalSorter({module: modules_imported(module) for module in MODULES})

    order.prepare()  # raises CycleError, which names the modules


def literals(module: Path) -> Iterator[str]:
    """Yield the text of each literal of a module that is not a docstring; an f-string is one for each of its parts."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)) if id(node) not in docstrings:
                yield text
            case ast.Constant(value=bytes(data)):
                yield data.decode("latin1")


def test_each_path_of_the_api_is_written_once() -> None:
    paths = {route.path for route in ROUTES} - {"/"}
    written = Counter[str]()
    for module in (PACKAGE / "web").rglob("*.py"):
        for text in literals(module):
            tokens = [found[0].rstrip("/") for found in A_PATH.finditer(text)]
            written.update(paths.intersection(tokens))

    assert written == dict.fromkeys(paths, 1)


def test_public_classes_have_distinct_names() -> None:
    places = defaultdict[str, list[str]](list)
    for module in MODULES:
        for node in ast.parse(module.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(str(module.relative_to(PACKAGE)))

    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_the_root_is_small() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= ROOT_MODULES_MAX


@pytest.mark.parametrize(
    "folder", sorted({module.parent for module in MODULES} - {PACKAGE}), ids=lambda path: path.name
)
def test_a_folder_says_in_a_few_lines_what_belongs_in_it(folder: Path) -> None:
    said = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))

    assert said is not None
    if folder.relative_to(PACKAGE).as_posix() not in CONTRACTS:
        assert len(said.splitlines()) <= FOLDER_LINES_MAX


def test_inner_modules_log_through_what_cannot_raise() -> None:
    """A handler of the log is the operator's own code: if it raises, no task and no server ends."""
    direct = [
        module.relative_to(PACKAGE).as_posix() for module in MODULES if "logging.getLogger(" in module.read_text()
    ]

    assert sorted(direct) == ["log.py", "observe/notify.py"]


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


PLURALS = re.compile(
    r" (?:more |other |stored )?(?:tasks|changes|schedules|records|nodes|attempts|lines|rows|places|values|files)\b"
)
"""Matches what follows a number in a message. A word such as ``bytes`` that is rarely about 1 is left out."""

SEVERAL = Counter({"stores/moves/move.py": 1, "web/api/submit.py": 1, "web/api/decode.py": 1, "core/bulk.py": 1})
"""How many messages of a module have a number that is always over 1, or another word before such a noun."""


def test_a_message_with_a_number_has_the_right_noun() -> None:
    """``counted()`` writes numbers with their nouns."""
    found: Counter[str] = Counter()
    for path in MODULES:
        where = path.relative_to(PACKAGE).as_posix()
        if where.startswith("conformance/"):
            continue
        for text in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.JoinedStr)):
            for number, after in zip(text.values, text.values[1:], strict=False):
                if isinstance(number, ast.FormattedValue) and isinstance(after, ast.Constant):
                    is_constant = isinstance(number.value, ast.Name) and number.value.id.isupper()
                    if PLURALS.match(str(after.value)) and not is_constant:
                        found[where] += 1
    assert found == SEVERAL, "write a number and its noun with counted()"
