"""Make handlers from their settings tables, and run them without an executor."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from pexecutor import Context, Task
from pexecutor.handlers import Handler, load_catalogue


class Lab:
    """Makes handlers, and runs them."""

    def __init__(self) -> None:
        self.environment = {"PATH": "/usr/bin:/bin", "SECRET": "s3cr3t-t0k3n"}

    def make(self, **table: Any) -> Handler:
        return load_catalogue(declared={"it": table}, modules=[], environment=self.environment)["it"]

    def python(self, program: str, *slots: str, **table: Any) -> Handler:
        """Return a command that runs a Python program; the arguments follow it."""
        return self.make(command=[sys.executable, "-c", program.replace("{", "{{").replace("}", "}}"), *slots], **table)


@pytest.fixture
def lab() -> Lab:
    return Lab()


@pytest.fixture
def context() -> Context:
    return Context("000001-1", "a")


def task(**params: Any) -> Task:
    return Task("a", handler="it", params=params)
