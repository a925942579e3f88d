"""Build an sdist and a wheel, check their contents, and check and run a user's program with the wheel.

``nox -s dist`` does more: it installs the wheel with its dependencies in a fresh environment, and runs a task there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

import pexecutor

from .artifacts import complaints, main, metadata_complaints
from .conftest import PROJECT
from .first_task import run_one_task

TYPED_PROGRAM: Final = PROJECT / "tests/project/typed_program.py"

COMPLETENESS_MIN: Final = 0.99
"""The minimum share of public symbols whose types are unambiguous for every type checker."""

PACKAGES: Final = sysconfig.get_path("purelib", "venv", {"base": "."})
"""The folder of a virtual environment's packages."""

PUBLIC_NAMES: Final = {
    "Accepted",
    "AlreadyFinishedError",
    "AlreadyStartedError",
    "Attempt",
    "Catalogue",
    "ConfigError",
    "Context",
    "Draining",
    "Duplicate",
    "Ending",
    "Executor",
    "ExpiredTaskError",
    "FieldError",
    "Finished",
    "Following",
    "Full",
    "HandlerFailedError",
    "InvalidCursorError",
    "InvalidTaskError",
    "LocalStore",
    "Outcome",
    "Page",
    "PageRequest",
    "Pending",
    "PexecutorError",
    "Phase",
    "Record",
    "Running",
    "Scheduled",
    "State",
    "Statistics",
    "Store",
    "StoreStatistics",
    "StoreUnavailableError",
    "Task",
    "UnknownTaskError",
    "Verdict",
    "handler",
    "load_catalogue",
}
"""The stable names of the Python API. Add a new name here in the release that introduces the name."""


def run(*command: str, cwd: Path, variables: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | (variables or {})
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Build an sdist, and a wheel from it; return them by suffix."""
    made = tmp_path_factory.mktemp("made")
    built = run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(made), cwd=PROJECT)
    assert built.returncode == 0, built.stdout + built.stderr
    return {path.suffix: path for path in made.iterdir()}


@pytest.fixture(scope="module")
def python(artifacts: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the wheel. Its dependencies come from the environment that runs the tests."""
    home = tmp_path_factory.mktemp("user") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], timeout=60, check=True)
    packages = home / PACKAGES
    with zipfile.ZipFile(artifacts[".whl"]) as wheel:
        wheel.extractall(packages)
    # This folder comes after the wheel's in sys.path. Python reads no .pth file here, so it cannot import the project.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"), encoding="utf-8")
    return home / "bin/python"


class TestContents:
    @pytest.mark.parametrize("suffix", [".gz", ".whl"])
    def test_an_artifact_holds_the_files_of_the_project_and_nothing_else(
        self, artifacts: Mapping[str, Path], suffix: str
    ) -> None:
        assert list(complaints(artifacts[suffix])) == []

    def test_missing_and_superfluous_files_are_found(self, artifacts: Mapping[str, Path], tmp_path: Path) -> None:
        broken = tmp_path / "broken.whl"
        with zipfile.ZipFile(artifacts[".whl"]) as wheel, zipfile.ZipFile(broken, "w") as copy:
            for name in set(wheel.namelist()) - {"pexecutor/py.typed"}:
                copy.writestr(name, wheel.read(name))
            copy.writestr("pexecutor/leftover.db", b"")

        assert list(complaints(broken)) == [
            "broken.whl lacks pexecutor/py.typed",
            "broken.whl holds pexecutor/leftover.db, which is no file of the project",
        ]
        assert main([broken]) == 1

    @pytest.mark.parametrize("link", ["[x](docs/x.md)", "[x]: docs/x.md", '<img src="docs/x.md">'])
    def test_a_link_that_leads_nowhere_on_an_index_is_found(self, link: str) -> None:
        fields = "License-Expression: MIT\nRequires-Python: >=3\nSummary: s\nClassifier: c"
        metadata = f"{fields}\n\n[a](https://example.org/a) and [b](#b)\n{link}\n"

        assert list(metadata_complaints(metadata.encode())) == ["the README's link to docs/x.md is relative"]


class TestStability:
    def test_the_newest_release_in_the_changelog_is_this_version_and_says_what_is_stable(self) -> None:
        _, unreleased, release, *_ = (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8").split("\n## ")

        assert unreleased.startswith("[Unreleased]")
        assert release.startswith(f"[{pexecutor.__version__}]\n\n### Stability\n")

    def test_no_public_name_is_gone(self) -> None:
        assert set(pexecutor.__all__) >= PUBLIC_NAMES

    def test_each_public_name_can_be_imported(self) -> None:
        assert [name for name in pexecutor.__all__ if not hasattr(pexecutor, name)] == []


class TestAUsersProgram:
    """A program outside the project, in an environment with the wheel."""

    @pytest.fixture
    def program(self, tmp_path: Path) -> Path:
        return Path(shutil.copy(TYPED_PROGRAM, tmp_path / "program.py"))

    def test_it_runs(self, python: Path, program: Path) -> None:
        done = run(str(python), str(program), cwd=program.parent)

        assert done.stdout.splitlines() == ['greeting ["hello you","hello you"]', "sum 3", "2 serving"], done.stderr

    def test_a_server_runs_a_task(self, python: Path, tmp_path: Path) -> None:
        record = json.loads(run_one_task([str(python), "-m", "pexecutor"], tmp_path))

        assert (record["name"], record["outcome"]) == ("first", "succeeded")

    def test_mypy_passes(self, python: Path, program: Path) -> None:
        mypy = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(python)]

        checked = run(*mypy, program.name, cwd=program.parent)

        assert checked.returncode == 0, checked.stdout + checked.stderr

    def test_pyright_passes(self, python: Path, program: Path) -> None:
        checked = run(sys.executable, "-m", "pyright", "--pythonpath", str(python), program.name, cwd=program.parent)

        assert checked.returncode == 0, checked.stdout + checked.stderr

    def test_the_types_of_public_symbols_are_complete(self, python: Path, tmp_path: Path) -> None:
        """Types that other packages leave unknown do not count, because this project cannot complete them."""
        pyright = [sys.executable, "-m", "pyright", "--outputjson", "--ignoreexternal", "--verifytypes", "pexecutor"]

        verified = run(*pyright, cwd=tmp_path, variables={"PATH": f"{python.parent}:{os.environ['PATH']}"})

        report = json.loads(verified.stdout)
        types = report["typeCompleteness"]
        assert types["pyTypedPath"] == str(python.parent.parent / PACKAGES / "pexecutor/py.typed")
        uncertain = [
            symbol["name"] for symbol in types["symbols"] if symbol["isExported"] and not symbol["isTypeKnown"]
        ]
        assert types["completenessScore"] >= COMPLETENESS_MIN, uncertain
