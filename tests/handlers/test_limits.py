"""Limits in the settings: what is refused, and the keys of a task."""

from __future__ import annotations

from typing import Any

import pytest

from pexecutor import ConfigError, Task, load_catalogue
from pexecutor.handlers import Catalogue
from pexecutor.handlers.limits import VALUE_BYTES_MAX
from pexecutor.handlers.settings import LIMITS_MAX
from pexecutor.limits.defaults import LIMIT_SETTINGS_MAX
from pexecutor.limits.keys import LimitKey
from pexecutor.stores.limits import LIMIT_KEYS_MAX

LIMITS = {"per_account": {"concurrency": 5, "per": "params.account"}, "api": {"concurrency": 3}}
COMMAND = {"command": ["true", "{account}"]}


def load(table: dict[str, Any], limits: dict[str, Any] | None = None) -> Catalogue:
    return load_catalogue(
        declared={"it": COMMAND | table}, modules=(), environment={}, limits=LIMITS if limits is None else limits
    )


def task(**params: Any) -> Task:
    return Task("t", handler="it", params=params)


@pytest.mark.parametrize(
    ("limits", "table", "complaint"),
    [
        ({"api": {}}, {}, "limits.api: `concurrency` is required; for example: concurrency = 5"),
        ({"api": {"concurrency": 0}}, {}, "limits.api.concurrency: expected `int` >= 1; for example: concurrency = 5"),
        ({"api": {"concurrency": "5"}}, {}, "limits.api.concurrency: expected `int`, got `str`; for example:"),
        ({"api": {"concurrency": 5, "rate": 1}}, {}, "unknown key `rate` in [limits.api]; the keys are: `concurrency`"),
        ({"api": {"concurrency": 5, "per": "account"}}, {}, "limits.api.per: 'account' must name a parameter; for exa"),
        ({"api": {"concurrency": 5, "per": "params."}}, {}, "limits.api.per: "),
        ({"a b": {"concurrency": 5}}, {}, "invalid limit name 'a b': use 1 to 64 letters, digits, - and _"),
        ({}, {"limits": ["api"]}, "handlers.it.limits: unknown limit `api`; there are no limits: add a table such as"),
        (None, {"limits": ["apy"]}, "handlers.it.limits: unknown limit `apy`: did you mean `api`? The limits are:"),
        (None, {"limits": ["api", "api"]}, "handlers.it.limits contains 'api' more than once"),
        (None, {"limits": "api"}, 'handlers.it.limits: expected `array`, got `str`; for example: limits = ["api"]'),
        (None, {"concurrency": 0}, "handlers.it.concurrency: expected `int` >= 1; for example: concurrency = 2"),
        (None, {"limits": [str(each) for each in range(11)]}, "handlers.it.limits: expected `array` of length <= 10"),
    ],
)
def test_a_table_that_cannot_be_used_is_named(
    limits: dict[str, Any] | None, table: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ConfigError) as error:
        load(table, limits)

    assert complaint in str(error.value)


def test_more_limits_than_a_store_keeps_are_refused() -> None:
    limits = {f"limit-{number}": {"concurrency": 1} for number in range(LIMIT_SETTINGS_MAX)}
    assert load({}, limits).limits.numbers.keys() == limits.keys()

    with pytest.raises(ConfigError, match=r"1000 limits and 1 handlers with `concurrency`, .* at most 1000 together"):
        load({"concurrency": 2}, limits)


def test_a_handler_has_as_many_limits_as_a_task_has_keys() -> None:
    assert LIMITS_MAX == LIMIT_KEYS_MAX


def test_numbers_are_those_of_limits_and_of_handlers() -> None:
    limits = load({"concurrency": 2}).limits

    assert (limits.numbers, limits.handler_numbers) == ({"per_account": 5, "api": 3}, {"it": 2})


@pytest.mark.parametrize(
    ("value", "shown"), [("acme", "acme"), (5, "5"), (1.5, "1.5"), (True, "true"), ("", ""), (None, "")]
)
def test_keys_are_in_order_and_have_the_value_of_the_parameter(value: object, shown: str) -> None:
    keys = load({"limits": ["per_account", "api"]}).limits.keys_of(task(account=value))

    assert keys == (LimitKey("api"), LimitKey("per_account", shown))


def test_tasks_without_the_parameter_have_one_common_key() -> None:
    limits = load({"limits": ["per_account"]}).limits

    assert limits.keys_of(task()) is limits.keys_of(task(other=1)) == (LimitKey("per_account"),)


def test_a_task_of_another_handler_has_no_keys() -> None:
    assert load({"limits": ["api"]}).limits.keys_of(Task("t")) == ()


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ([1], "expected a string, a number or a boolean"),
        ({"a": 1}, "expected a string, a number or a boolean"),
        ("ä" * 128, f"expected at most {VALUE_BYTES_MAX} bytes"),
    ],
)
def test_a_value_that_no_limit_can_count_is_refused(value: object, why: str) -> None:
    handlers = load_catalogue(
        declared={"it": {"url": "http://x/", "limits": ["per_account"]}}, modules=(), environment={}, limits=LIMITS
    )
    complaint = handlers.check(task(account=value))

    assert complaint == ("params.account", f"`params.account`: a limit counts by this parameter: {why}")
    assert handlers.check(task(account="ä" * 127)) is None
