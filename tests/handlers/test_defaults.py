"""Defaults of handlers: which fields they fill, and which they leave."""

from __future__ import annotations

from pathlib import Path

import msgspec

from pexecutor import Task, load_catalogue
from pexecutor.handlers import BUILT_IN, Catalogue
from pexecutor.handlers.settings import EXAMPLES, HandlerSettings, TaskDefaults

ALL = {
    "timeout": 60_000,
    "retries": 3,
    "retry_delay": 5000,
    "retry_delay_max": 600_000,
    "priority": 10,
    "on_conflict": "join",
    "on_crash": "fail",
    "keep": 86_400_000,
    "tags": ["nightly"],
}


def catalogue(**defaults: object) -> Catalogue:
    return load_catalogue(declared={"sleep": defaults}, modules=(), environment={})


def test_each_default_fills_its_field_unless_it_was_given() -> None:
    assert ALL.keys() == {*TaskDefaults.__struct_fields__}
    assert EXAMPLES.keys() == {*HandlerSettings.__struct_fields__}
    for field, value in ALL.items():
        handlers, plain = catalogue(**{field: value}), Task("a")
        filled = handlers.fill(plain, ["name"])

        assert msgspec.json.decode(msgspec.json.encode(filled)) == {"name": "a", field: value}
        assert handlers.fill(plain, ["name", field]) == plain


def test_a_given_field_keeps_its_value() -> None:
    task = Task("a", retries=1, tags=("mine",))

    assert catalogue(**ALL).fill(task, ["retries", "tags"]).retries == 1
    assert catalogue(**ALL).fill(task, []).tags == ("mine",)


def test_other_handlers_have_no_defaults() -> None:
    task = Task("a", handler="other")

    assert catalogue(**ALL).fill(task, []) is task
    assert BUILT_IN.defaults is None
    assert catalogue().defaults is None


def test_a_table_without_a_kind_configures_a_function(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("import pexecutor\n\n@pexecutor.handler\nasync def work(context): ...\n")
    handlers = load_catalogue(declared={"work": {"timeout": 5}}, modules=[str(file)], environment={})

    assert handlers.fill(Task("a", handler="work"), []).timeout == 5
    assert {view.name: view.defaults for view in handlers.describe()} == {
        "sleep": TaskDefaults(),
        "work": TaskDefaults(timeout=5),
    }
