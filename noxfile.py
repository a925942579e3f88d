"""Development sessions. ``nox`` runs the checks for each change: tests, lint, types, and the documentation build."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["tests", "lint", "types", "docs"]

os.environ["UV_PYTHON_DOWNLOADS"] = "never"

PYPROJECT = nox.project.load_toml("pyproject.toml")
CHECKED = ["pexecutor", "tests", "bench", "docs", "examples", "noxfile.py"]


def install(session: nox.Session, *groups: str, project: bool = True) -> None:
    """Install dependency groups, and the project unless `project` is false."""
    requirements = nox.project.dependency_groups(PYPROJECT, *groups)
    session.install(*(["--editable", "."] if project else []), *requirements)


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests on the Python that runs nox. Arguments are passed to pytest."""
    install(session, "test")
    session.run("pytest", *session.posargs)


@nox.session(python=nox.project.python_versions(PYPROJECT))
def tests_all(session: nox.Session) -> None:
    """Run the tests on each supported Python version. Arguments are passed to pytest."""
    install(session, "test")
    session.run("pytest", *session.posargs)


def concurrent(paths: list[str]) -> list[str]:
    """Return the Python files that have something for flake8-async to check: it takes seconds for each large file."""
    words = re.compile(r"\b(async|trio|anyio|asyncio|BaseException|Cancelled\w*)\b|except\s*:")
    files = [file for path in map(Path, paths) for file in ([path] if path.is_file() else sorted(path.rglob("*.py")))]
    return [str(file) for file in files if words.search(file.read_text(encoding="utf-8"))]


@nox.session
def lint(session: nox.Session) -> None:
    """Check format and style, and the use of Trio with flake8-async."""
    install(session, "lint", project=False)
    session.run("ruff", "format", "--check", *CHECKED)
    session.run("ruff", "check", *CHECKED)
    session.run("flake8", *concurrent(CHECKED))


@nox.session
def types(session: nox.Session) -> None:
    """Check types in mypy's strict mode."""
    install(session, "types", "test")
    session.run("mypy")
    session.run("mypy", "examples")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation into ``build/docs`` without network access. Warnings are errors."""
    install(session, "docs")
    session.run("sphinx-build", "-W", "--keep-going", "-E", "docs", "build/docs", *session.posargs)


@nox.session
def dist(session: nox.Session) -> None:
    """Build an sdist and a wheel from the sdist, check both, and run a task with the wheel in a fresh environment."""
    install(session, "dist", project=False)
    made, fresh = Path(session.create_tmp(), "made"), Path(session.create_tmp(), "fresh")
    shutil.rmtree(made, ignore_errors=True)
    session.run("python", "-m", "build", "--installer", "uv", "--outdir", str(made))
    artifacts = [str(path) for path in sorted(made.iterdir())]
    session.run("twine", "check", "--strict", *artifacts)
    session.run("python", "-m", "tests.project.artifacts", *artifacts)
    session.run("uv", "venv", "--clear", str(fresh))
    [wheel] = made.glob("*.whl")
    session.run("uv", "pip", "install", "--python", str(fresh), str(wheel))
    session.run("python", "-m", "tests.project.first_task", str(fresh / "bin/pexecutor"))


@nox.session
def simulate(session: nox.Session) -> None:
    """Run the simulation for many seeds on all processors: ``nox -s simulate -- --seeds 10000 --first 0``."""
    install(session, "test")
    session.run("python", "-m", "tests.simulation", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Run the benchmark and write ``bench/README.md``: ``nox -s bench -- shared http --rounds 5``, or ``--quick``."""
    install(session, "bench")
    session.run("python", "-m", "bench", *session.posargs)


@nox.session
def vendor(session: nox.Session) -> None:
    """Write the dashboard's libraries, in the versions of ``vendor/manifest.json``, from npm packages."""
    session.run("python", "-m", "tests.project.vendoring", session.create_tmp())


@nox.session
def shots(session: nox.Session) -> None:
    """Write pictures of each page and state of the dashboard and a contact sheet into ``tests/browser/screenshots``."""
    install(session, "test")
    session.run("python", "-m", "tests.browser.shots", *session.posargs)
