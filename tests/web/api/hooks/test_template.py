"""Slots of a hook's task: the values that fill them, and the templates and deliveries that are refused."""

from __future__ import annotations

from typing import Any

import pytest

from pexecutor.errors import ConfigError
from pexecutor.web.api.errors import BadRequestError
from pexecutor.web.api.hooks.template import HookDelivery, TaskTemplate

from .deliveries import PUSH, values_of

DELIVERY = HookDelivery(PUSH, values_of({"X-GitHub-Event": "push"}))


def filled(name: str = "n", **fields: Any) -> dict[str, Any]:
    return TaskTemplate({"name": name, **fields}, "hooks.x.task").filled(DELIVERY)


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{body.ref}", "refs/heads/main"),
        ("{body.repository.id}", 186853002),
        ("{body.repository.private}", False),
        ("{body.head_commit}", None),
        ("{body.commits}", PUSH["commits"]),
        ("{body.commits.0.id}", "59b20b8d5c6ff8d09518454d4dd8b7b30f095ab5"),
        ("{header.X-GitHub-Event}", "push"),
        ("{{body.ref}}", "{body.ref}"),
        ("", ""),
        (["{body.ref}", {"deep": "{body.repository.name}"}], ["refs/heads/main", {"deep": "Hello-World"}]),
        (5, 5),
    ],
)
def test_a_slot_is_replaced_by_the_value_itself(template: Any, value: Any) -> None:
    assert filled(params={"x": template}) == {"name": "n", "params": {"x": value}}


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("deploy-{body.repository.name}", "deploy-Hello-World"),
        ("{body.repository.name}", "Hello-World"),
        ("{body.repository.id}", "186853002"),
        ("{header.x-github-event}/{body.deleted}", "push/false"),
        ("{{}}", "{}"),
    ],
)
def test_a_name_may_hold_slots_among_other_text(template: str, name: str) -> None:
    assert filled(template) == {"name": name}


@pytest.mark.parametrize(
    "template", ["{body.nothing}", "{body.ref.deeper}", "{body.commits.1}", "{body.commits.x}", "{header.x-other}"]
)
def test_a_delivery_without_the_value_is_refused(template: str) -> None:
    with pytest.raises(BadRequestError, match=r"the delivery has no value for the slot \{.*\} of the hook"):
        filled(params={"x": template})


@pytest.mark.parametrize("template", ["x-{body.commits}", "x-{body.head_commit}", "{body.repository}"])
def test_only_scalars_can_be_part_of_a_name(template: str) -> None:
    with pytest.raises(BadRequestError, match="cannot be part of the name: expected a string, a number or a boolean"):
        filled(template)


def test_a_repeated_header_fills_no_slot() -> None:
    template = TaskTemplate({"name": "{header.x}"}, "hooks.x.task")
    with pytest.raises(BadRequestError):
        template.filled(HookDelivery({}, lambda _: ["one", "two"]))


def nested(depth: int) -> Any:
    return "x" if depth == 0 else {"x": nested(depth - 1)}


@pytest.mark.parametrize(
    ("task", "why"),
    [
        ({}, r"hooks\.x\.task\.name is required"),
        ({"name": 5}, r"hooks\.x\.task\.name is required"),
        ({"name": "n{"}, r"hooks\.x\.task\.name: a slot is \{body.PATH\} or \{header.NAME\}"),
        ({"name": "{param}"}, "a slot is"),
        ({"name": "{body.}"}, "a slot is"),
        (
            {"name": "n", "params": {"ref": "x {body.ref}"}},
            r"hooks\.x\.task\.params\.ref: a slot must be a whole value",
        ),
        ({"name": "n", "params": {"list": ["{body.ref}{body.ref}"]}}, r"params\.list\.0: a slot must be a whole value"),
        ({"name": "n", "params": nested(40)}, "nested too deeply"),
    ],
)
def test_an_unclear_template_is_refused(task: Any, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        TaskTemplate(task, "hooks.x.task")
