"""The public names of the package, which are imported when they are first used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import pexecutor

SOURCE = Path(pexecutor.__file__).read_text(encoding="utf-8")


def test_type_checkers_and_python_see_the_same_names() -> None:
    for_type_checkers = {
        (alias.name, node.module)
        for node in ast.walk(ast.parse(SOURCE))
        if isinstance(node, ast.ImportFrom) and node.level == 1
        for alias in node.names
    }
    for_python = {(name, module) for module, names in pexecutor._MODULES.items() for name in names}
    assert for_type_checkers == for_python
    assert {name for name, _ in for_python} == set(pexecutor.__all__)


def test_each_name_can_be_used_and_is_listed() -> None:
    for name in pexecutor.__all__:
        assert getattr(pexecutor, name) is not None
        assert name in dir(pexecutor)


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"^module 'pexecutor' has no attribute 'Executer'$"):
        pexecutor.Executer  # type: ignore[attr-defined]  # noqa: B018


def test_an_import_of_the_package_loads_neither_trio_nor_the_executor() -> None:
    program = "import sys, pexecutor; print(sorted(name for name in sys.modules if name.startswith(('trio', 'pexec'))))"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert ran.stdout == "['pexecutor']\n"
