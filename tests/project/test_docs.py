"""The documentation describes everything in the program, and agrees with the code."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Any, get_args

import click
import msgspec
import pytest
from prometheus_client.metrics_core import Metric

import pexecutor
from pexecutor import ConfigError, Executor, LocalStore, Outcome, Running, State, Task
from pexecutor.access import SCOPES, TokenSettings
from pexecutor.cli.exit_status import OF_OUTCOME, Exit
from pexecutor.cli.main import cli
from pexecutor.config import Config, flag_of, load_config
from pexecutor.handlers.command import CommandSettings
from pexecutor.handlers.http.http import HttpSettings
from pexecutor.handlers.limits import LimitSettings
from pexecutor.notifications.counts import NotificationResult
from pexecutor.notifications.message import EndData, SkipData
from pexecutor.notifications.settings import TargetSettings
from pexecutor.observe.events import (
    DrainBegun,
    Gap,
    OccurrenceSkipped,
    Reloaded,
    TaskProgress,
    TasksPaused,
    TasksResumed,
)
from pexecutor.reload import RELOADED
from pexecutor.schedules.counts import Result
from pexecutor.schedules.declaration import ScheduleDeclaration
from pexecutor.stores.schedules import SkipReason
from pexecutor.web import create_app
from pexecutor.web.api.bulk import BulkBody
from pexecutor.web.api.errors import STATUS_OF
from pexecutor.web.api.events import content
from pexecutor.web.api.filters import FilterQuery
from pexecutor.web.api.hooks.hook import HookSettings
from pexecutor.web.api.limit_wire import LimitUse, PauseView, ReasonView, ReasonWord
from pexecutor.web.api.metrics import MetricsAnswers
from pexecutor.web.api.ops import HistoryQuery, NodeView
from pexecutor.web.api.schedule_wire import OccurrenceView, ScheduleView
from pexecutor.web.api.schedules import RemoveQuery, SchedulesQuery
from pexecutor.web.api.submit import SubmitQuery
from pexecutor.web.api.tasks import PageQuery, ShowQuery, TasksQuery
from pexecutor.web.api.wire import IntervalView, TaskDetail

from ..web.needs import NEEDS
from .conftest import PROJECT
from .page import Page, page, rows

ARCHITECTURE = (PROJECT / "ARCHITECTURE.md").read_text(encoding="utf-8")
CHANGELOG = (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")

SERVE = cli.commands["serve"]

IN_THE_FILE_ALONE = {"handlers", "hooks", "limits", "notify", "schedules", "tokens"}

HOOKS = page("reference/hooks")
NOTIFICATIONS = page("reference/notifications")
HTTP_API = page("reference/http-api")
TASKS = page("reference/tasks")
HANDLERS = page("reference/handlers")
SETTINGS = page("reference/settings")
CLI = page("reference/cli")
EXIT_STATUSES = page("reference/exit-statuses")
METRICS = page("reference/metrics")
SCHEDULES = page("reference/schedules")
LIMITS = page("reference/limits")


def routes() -> set[str]:
    app = create_app(Executor(LocalStore()), Config())
    return {
        method + " " + re.sub(r"<(?:[^<>]*:)?(?:task_)?([^<>]*)>", r"{\1}", rule.rule)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }


@pytest.mark.parametrize("route", sorted(routes()))
def test_each_route_is_documented_with_its_scope(route: str) -> None:
    _, scope, *_ = HTTP_API.rows[route]

    assert scope == NEEDS[re.sub(r"{\w+}", "{}", route)]


def test_no_route_is_documented_that_is_gone() -> None:
    named = {subject for subject in HTTP_API.rows if re.fullmatch(r"[A-Z]+ /\S*", subject)}

    assert named - {"POST /tasks` with a list"} == routes()


@pytest.mark.parametrize("field", msgspec.structs.fields(Config), ids=lambda field: field.name)
def test_each_setting_is_documented(field: msgspec.structs.FieldInfo) -> None:
    _, flag, default, meaning = SETTINGS.rows[field.name]
    has_flag = field.name in {parameter.name for parameter in SERVE.params}

    assert flag == (f"`{flag_of(field.name)}`" if has_flag else "")
    assert ("Only in the file." in meaning) == (field.name in IN_THE_FILE_ALONE)
    assert ("Applies at a reload." in meaning) == (field.name in RELOADED)
    assert default.replace(",", "") == _written(getattr(Config(), field.name))


@pytest.mark.parametrize("field", msgspec.structs.fields(Config), ids=lambda field: field.name)
def test_each_setting_has_the_variable_that_the_rule_says(field: msgspec.structs.FieldInfo) -> None:
    try:
        config = load_config(file=None, environment={f"PEXECUTOR_{field.name.upper()}": "x,y"}, flags={})
    except ConfigError as error:
        is_setting = "is not a setting" not in str(error)
    else:
        is_setting = getattr(config, field.name) != getattr(Config(), field.name)
    assert is_setting


def test_no_setting_is_documented_that_is_gone() -> None:
    assert SETTINGS.rows.keys() == {*Config.__struct_fields__}


def _written(default: Any) -> str:
    match default:
        case () | {} | "" | None:
            return "none"
        case bool():
            return str(default).lower()
        case float():
            return f"{default:.10g}"
        case _:
            return str(default)


def test_each_key_of_a_tokens_table_is_documented() -> None:
    for word in TokenSettings.__struct_fields__:
        assert f"`{word}`" in SETTINGS.text


def test_each_key_of_a_hooks_table_is_documented() -> None:
    assert {*HookSettings.__struct_fields__} <= HOOKS.rows.keys()


def test_each_key_of_a_target_and_each_result_of_notifications_is_documented() -> None:
    assert {*TargetSettings.__struct_fields__, *get_args(NotificationResult)} <= NOTIFICATIONS.rows.keys()
    for structure in (EndData, SkipData):
        for field in structure.__struct_fields__:
            assert f"`{field}`" in NOTIFICATIONS.text


def test_each_key_of_a_limits_table_is_documented() -> None:
    assert {*LimitSettings.__struct_fields__} <= LIMITS.rows.keys()


def test_each_reason_and_its_members_are_documented() -> None:
    assert {*get_args(ReasonWord)} <= HTTP_API.rows.keys()
    for field in (*ReasonView.__struct_fields__, *PauseView.__struct_fields__, *LimitUse.__struct_fields__):
        assert f"`{field}`" in HTTP_API.text


def test_each_scope_is_documented() -> None:
    assert {*SCOPES} <= HTTP_API.rows.keys()


@pytest.mark.parametrize("structure", [CommandSettings, HttpSettings], ids=lambda kind: kind.__name__)
def test_each_key_of_a_handlers_table_is_documented(structure: type[msgspec.Struct]) -> None:
    for field in msgspec.structs.fields(structure):
        _, _, default, _ = HANDLERS.rows[field.name]
        if isinstance(field.default, float | int) and not isinstance(field.default, bool):
            assert default.replace(",", "") == _written(field.default)


def commands(group: click.Group, *names: str) -> Iterator[tuple[str, click.Command]]:
    """Return every command that has an action, as a user types it."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *names, name)
        else:
            yield " ".join((*names, name)), command


COMMANDS = dict(commands(cli))


QUERIES = (
    *(SubmitQuery, PageQuery, TasksQuery, ShowQuery, FilterQuery, HistoryQuery, BulkBody),
    *(SchedulesQuery, RemoveQuery),
)


def test_each_command_is_documented_with_its_help() -> None:
    shown = re.findall(r"^```{command-help} (.+)$", CLI.text, re.MULTILINE)

    assert sorted(shown) == sorted(COMMANDS)
    assert {f"pexecutor {command}" for command in shown} <= {*CLI.headings}


def test_each_exit_status_is_documented() -> None:
    _, section = EXIT_STATUSES.text.split("\n## The client commands\n")
    documented = {
        int(status): meaning for status, meaning in re.findall(r"^\| (\d+) \| (.*) \|$", section, re.MULTILINE)
    }

    assert [*documented] == [*Exit]
    for outcome, status in OF_OUTCOME.items():
        assert f"`{outcome}`" in documented[status]


@pytest.mark.parametrize(
    ("structure", "where"),
    [(Task, TASKS), *((query, HTTP_API) for query in QUERIES)],
    ids=lambda kind: getattr(kind, "__name__", ""),
)
def test_each_field_of_a_task_and_each_parameter_is_documented(structure: type[msgspec.Struct], where: Page) -> None:
    assert {*structure.__struct_fields__} <= where.rows.keys()


def test_each_member_of_a_record_is_documented() -> None:
    for field in msgspec.structs.fields(TaskDetail):
        assert f"`{field.name}`" in TASKS.text


def metrics() -> list[Metric]:
    collected = MetricsAnswers(Executor(LocalStore())).registry.collect()
    return [metric for metric in collected if metric.name.startswith("pexecutor_")]


@pytest.mark.parametrize("metric", metrics(), ids=lambda metric: metric.name)
def test_each_metric_is_documented_as_it_describes_itself(metric: Metric) -> None:
    _, _, meaning = METRICS.rows[f"{metric.name}_total" if metric.type == "counter" else metric.name]

    if metric.type == "counter":
        assert meaning == metric.documentation


def test_no_metric_is_documented_that_is_gone() -> None:
    named = {subject.removesuffix("_total") for subject in METRICS.rows if subject.startswith("pexecutor_")}

    assert named == {metric.name for metric in metrics()}


@pytest.mark.parametrize("structure", [IntervalView, NodeView], ids=lambda kind: kind.__name__)
def test_each_member_of_an_interval_and_of_a_node_is_documented(structure: type[msgspec.Struct]) -> None:
    assert {*structure.__struct_fields__} <= HTTP_API.rows.keys()


def test_each_kind_of_event_is_documented() -> None:
    pauses = TasksPaused(None, 0.0, "ops"), TasksResumed(None, "ops")
    for what in (
        TaskProgress(Running(1, Task("a"), 0.0, (), 0.0), 1, 2),
        OccurrenceSkipped("s", 0.0, "held"),
        *pauses,
        Reloaded(),
        DrainBegun(),
        Gap(),
    ):
        kind, _ = content(what)
        assert kind.decode() in HTTP_API.rows


def test_each_field_and_member_of_a_schedule_is_documented() -> None:
    for structure in (ScheduleDeclaration, ScheduleView):
        assert {*structure.__struct_fields__} - {"name"} <= SCHEDULES.rows.keys()
    for field in OccurrenceView.__struct_fields__:
        assert f"`{field}`" in SCHEDULES.text


def test_each_result_of_an_occurrence_is_documented() -> None:
    assert {*get_args(SkipReason)} <= SCHEDULES.rows.keys()
    assert {*get_args(Result)} == {"fired", *get_args(SkipReason)}


def test_each_state_and_outcome_is_documented() -> None:
    assert {*State, *Outcome} <= TASKS.rows.keys()


def test_each_status_of_an_error_is_documented() -> None:
    documented = {int(status) for status in re.findall(r"^\| (\d{3}) \|", HTTP_API.text, re.MULTILINE)}

    assert {*STATUS_OF.values(), 404, 405, 429, 431, 500, 501} <= documented


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
