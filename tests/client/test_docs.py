"""The page of the Python client agrees with the code."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

import pexecutor
from pexecutor import AsyncClient, AsyncHandle, Client, Handle
from pexecutor.client.aio.schedules import AsyncScheduleClient
from pexecutor.client.fields import Criteria, NewTask, ScheduleTimes, TaskFields
from pexecutor.schedules.declaration import ScheduleDeclaration
from pexecutor.task import Task
from pexecutor.web.api.filters import FilterQuery
from pexecutor.web.api.limit_wire import HandlerState, LimitUse, PauseView, ReasonView
from pexecutor.web.api.schedule_wire import OccurrenceView, ScheduleView
from pexecutor.web.api.wire import AttemptView, TaskDetail, TaskVerdict

from ..project.page import page

PAGE = page("reference/python-client")
MODULES = {module: names for module, names in pexecutor._MODULES.items() if module.startswith("client.")}


def methods(kind: type) -> list[Any]:
    return [member for name, member in inspect.getmembers(kind, callable) if not name.startswith("_")]


@pytest.mark.parametrize("name", sorted(name for names in MODULES.values() for name in names))
def test_each_public_name_is_on_the_page(name: str) -> None:
    assert re.search(rf"^\.\. (autoclass|autoexception|py:data):: {name}$", PAGE.text, re.MULTILINE)


@pytest.mark.parametrize(
    "method",
    [method for kind in (AsyncClient, AsyncHandle, AsyncScheduleClient) for method in methods(kind)],
    ids=lambda method: method.__qualname__,
)
def test_each_method_says_what_it_does_and_what_its_parameters_mean(method: Any) -> None:
    text = inspect.getdoc(method)
    assert text, "write a docstring"
    if "see ``cancel_many``" in text:
        return
    for parameter in inspect.signature(method).parameters.values():
        if parameter.name not in ("self", "handler", "task_id", "name") or "Parameters:" in text:
            assert parameter.name == "self" or f"{parameter.name}:" in text, parameter


def test_both_clients_have_the_same_methods() -> None:
    for one, other in ((AsyncClient, Client), (AsyncHandle, Handle)):
        names = {method.__name__.replace("aclose", "close") for method in methods(one)}
        assert names == {method.__name__ for method in methods(other)}


@pytest.mark.parametrize(
    ("typed", "of_the_server"),
    [
        (NewTask, Task),
        (ScheduleTimes, ScheduleDeclaration),
        (Criteria, FilterQuery),
    ],
    ids=lambda kind: kind.__name__,
)
def test_callers_can_give_each_field_of_the_server(typed: Any, of_the_server: Any) -> None:
    known = {name.replace("tag", "tags") if name == "tag" else name for name in of_the_server.__struct_fields__}
    assert {*typed.__annotations__} == known - ({"task"} if typed is ScheduleTimes else set())


@pytest.mark.parametrize(
    ("record", "view"),
    [
        (pexecutor.TaskRecord, TaskDetail),
        (pexecutor.AttemptRecord, AttemptView),
        (pexecutor.SubmitVerdict, TaskVerdict),
        (pexecutor.HandlerRecord, HandlerState),
        (pexecutor.LimitRecord, LimitUse),
        (pexecutor.PauseRecord, PauseView),
        (pexecutor.ReasonRecord, ReasonView),
        (pexecutor.ScheduleRecord, ScheduleView),
        (pexecutor.OccurrenceRecord, OccurrenceView),
    ],
    ids=lambda kind: kind.__name__,
)
def test_records_have_each_member_of_the_server(record: Any, view: Any) -> None:
    assert {*record.__struct_fields__} == {*view.__struct_fields__}


@pytest.mark.parametrize("kind", [TaskFields, NewTask, ScheduleTimes, Criteria], ids=lambda kind: kind.__name__)
def test_each_field_is_described(kind: Any) -> None:
    described = f"{kind.__doc__} {TaskFields.__doc__ if kind is NewTask else ''}"
    for field in kind.__annotations__:
        assert f"{field}:" in described


@pytest.mark.parametrize("name", sorted(name for names in MODULES.values() for name in names))
def test_each_member_of_a_record_is_described(name: str) -> None:
    kind = getattr(pexecutor, name)
    for field in getattr(kind, "__struct_fields__", ()):
        assert re.search(rf"\b{field}\b", kind.__doc__ or ""), field
