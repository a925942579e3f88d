"""What the program has, the documents name."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Any

import click
import msgspec
import pytest
from prometheus_client.metrics_core import Metric

import pexecutor
from pexecutor import Executor, LocalStore, Outcome, State, Task
from pexecutor.access import SCOPES, TokenSettings
from pexecutor.cli.main import cli
from pexecutor.config import ENVIRONMENT_PREFIX, Config, flag_of
from pexecutor.handlers.command import CommandSettings
from pexecutor.handlers.http.http import HttpSettings
from pexecutor.observe.events import DrainBegun, Gap, TaskProgress
from pexecutor.web import create_app
from pexecutor.web.api.errors import STATUS_OF
from pexecutor.web.api.events import EventsQuery, content
from pexecutor.web.api.metrics import MetricsRoutes
from pexecutor.web.api.tasks import PageQuery, ShowQuery, SubmitQuery, TasksQuery
from pexecutor.web.api.wire import IntervalView, TaskDetail

from .conftest import PROJECT
from .page import README, rows

ARCHITECTURE = (PROJECT / "ARCHITECTURE.md").read_text(encoding="utf-8")
CHANGELOG = (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")

SERVE = cli.commands["serve"]

IN_THE_FILE_ALONE = {"handlers", "tokens"}


ROWS = README.rows


def routes() -> set[str]:
    app = create_app(Executor(LocalStore()), Config())
    return {
        method + " " + re.sub(r"<(?:.*:)?(?:task_)?(.*)>", r"{\1}", rule.rule)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }


@pytest.mark.parametrize("route", sorted(routes()))
def test_each_route_is_in_the_readme(route: str) -> None:
    assert route in ROWS


def test_the_readme_names_no_route_that_is_gone() -> None:
    named = {subject for subject in ROWS if re.fullmatch(r"[A-Z]+ /\S*", subject)}

    assert named == routes()


@pytest.mark.parametrize("field", msgspec.structs.fields(Config), ids=lambda field: field.name)
def test_each_setting_is_in_the_readme(field: msgspec.structs.FieldInfo) -> None:
    _, flag, variable, default, _ = ROWS[field.name]
    has_flag = field.name in {parameter.name for parameter in SERVE.params}

    assert flag == (f"`{flag_of(field.name)}`" if has_flag else "")
    assert variable == ("" if field.name in IN_THE_FILE_ALONE else f"`{ENVIRONMENT_PREFIX}{field.name.upper()}`")
    assert default.replace(",", "") == _written(getattr(Config(), field.name))


def _written(default: Any) -> str:
    match default:
        case () | {} | None:
            return "none"
        case bool():
            return str(default).lower()
        case float():
            return f"{default:.10g}"
        case _:
            return str(default)


def test_each_key_of_a_tokens_table_and_each_scope_is_in_the_readme() -> None:
    for word in [*TokenSettings.__struct_fields__, *SCOPES]:
        assert f"`{word}`" in README.text


@pytest.mark.parametrize("structure", [CommandSettings, HttpSettings], ids=lambda kind: kind.__name__)
def test_each_key_of_a_handlers_table_is_in_the_readme(structure: type[msgspec.Struct]) -> None:
    for field in msgspec.structs.fields(structure):
        _, _, default, _ = ROWS[field.name]
        if isinstance(field.default, float | int) and not isinstance(field.default, bool):
            assert default.replace(",", "") == _written(field.default)


def commands(group: click.Group, *names: str) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, as it is typed."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *names, name)
        else:
            yield " ".join((*names, name)), command


COMMANDS = dict(commands(cli))


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_each_command_and_its_options_are_in_the_readme(command: str) -> None:
    options = [
        option
        for parameter in COMMANDS[command].params
        if isinstance(parameter, click.Option)
        for option in parameter.opts
    ]

    assert re.search(rf"`pexecutor {command}[ `]", README.text)
    for option in options:
        assert re.search(rf"`{option}\b", README.text), option


def test_the_options_that_every_program_has_are_in_the_readme() -> None:
    context = click.Context(cli)

    for parameter in cli.get_params(context):
        for option in parameter.opts:
            assert f"`{option}`" in README.text


@pytest.mark.parametrize(
    "structure", [Task, SubmitQuery, PageQuery, TasksQuery, ShowQuery, EventsQuery], ids=lambda kind: kind.__name__
)
def test_each_field_of_a_task_and_each_parameter_is_in_the_readme(structure: type[msgspec.Struct]) -> None:
    for field in msgspec.structs.fields(structure):
        assert field.name in ROWS


def test_each_member_of_a_record_is_in_the_readme() -> None:
    for field in msgspec.structs.fields(TaskDetail):
        assert f"`{field.name}`" in README.text


def metrics() -> list[Metric]:
    collected = MetricsRoutes(Executor(LocalStore())).registry.collect()
    return [metric for metric in collected if metric.name.startswith("pexecutor_")]


@pytest.mark.parametrize("metric", metrics(), ids=lambda metric: metric.name)
def test_each_metric_is_in_the_readme_as_it_says_of_itself(metric: Metric) -> None:
    _, _, meaning = ROWS[f"{metric.name}_total" if metric.type == "counter" else metric.name]

    if metric.type == "counter":
        assert meaning == metric.documentation


def test_the_readme_names_no_metric_that_is_gone() -> None:
    named = {subject.removesuffix("_total") for subject in ROWS if subject.startswith("pexecutor_")}

    assert named == {metric.name for metric in metrics()}


def test_each_member_of_an_interval_is_in_the_readme() -> None:
    for field in msgspec.structs.fields(IntervalView):
        assert f"`{field.name}`" in README.text


def test_each_kind_of_event_is_in_the_readme() -> None:
    for what in (TaskProgress("1", "a", 1, 2), DrainBegun(), Gap()):
        kind, _ = content(what)
        assert kind.decode() in ROWS


def test_each_state_outcome_and_status_is_in_the_readme() -> None:
    for word in [*State, *Outcome]:
        assert f"`{word}`" in README.text
    for status in [*STATUS_OF.values(), 429, 500]:
        assert re.search(rf"\b{status}\b", README.text), status


def test_the_architecture_names_no_module_that_is_gone() -> None:
    for name in re.findall(r"`([\w/]+\.py)`", ARCHITECTURE):
        assert (PROJECT / "pexecutor" / name).exists() or (PROJECT / name).exists(), name


def test_each_dependency_has_its_reason_in_the_architecture() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = [*project["dependency-groups"].values(), *project["project"]["optional-dependencies"].values()]
    reasons = rows(ARCHITECTURE)

    needed = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
    for requirement in [*needed, *(one for group in groups for one in group)]:
        name = re.split(r"[\[<>=~! ]", requirement)[0]
        assert name in {*reasons, "pexecutor"}, requirement


def test_the_version_is_in_the_changelog() -> None:
    assert f"## [{pexecutor.__version__}]" in CHANGELOG
