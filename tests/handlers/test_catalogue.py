"""Handlers that an operator declares, and the errors for invalid declarations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from pexecutor import ConfigError, Task, load_catalogue
from pexecutor.handlers import BUILT_IN


def load(declared: dict[str, Any] | None = None, *modules: str) -> Any:
    return load_catalogue(declared=declared or {}, modules=modules, environment={"HERE": "yes"})


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        (
            {},
            "[handlers.it] has neither `command` nor `url`, so it must name a function or `sleep`: unknown",
        ),
        ({"timeout": 0}, "handlers.it.timeout: expected `int` >= 1; for example: timeout = 60000"),
        ({"retries": "many"}, "handlers.it.retries: expected `int`, got `str`; for example: retries = 3"),
        ({"retry_delay_max": -1}, "handlers.it.retry_delay_max: expected `int` >= 0; for example: retry_delay_max = 6"),
        (
            {"on_conflict": "wait"},
            "handlers.it.on_conflict: unknown value 'wait'; the values are: reject, join, latest, supersede; for",
        ),
        ({"tags": ["a", "a"]}, "handlers.it: `tags` contains 'a' more than once; for example: tags = [\"nightly\"]"),
        ({"command": ["dump"], "keep": -1}, "handlers.it.keep: expected `int` >= 0; for example: keep = 86400000"),
        (
            {"command": ["dump"], "colour": 1},
            "unknown key `colour` in [handlers.it]; the keys are: `timeout`, `retries`",
        ),
        ({"command": ["x"], "url": "http://x/"}, "handlers.it must have either"),
        ("x", "handlers.it must be a table, such as [handlers.it] with a line `command = [...]`"),
        ({"command": "ls"}, "handlers.it.command: expected `array`, got `str`"),
        ({"command": []}, "handlers.it.command: expected `array` of length >= 1"),
        ({"command": ["{db}"]}, "handlers.it.command[0] must name the program"),
        (
            {"command": ["dump", "-d{db}"]},
            "a slot like `{name}` must be a whole argument or all that follows an option's name and `=`, as in `",
        ),
        ({"command": ["DB={db}"]}, "handlers.it.command[0] must name the program"),
        ({"command": ["a"], "env": {"X": "${UNSET}"}}, "handlers.it.env.X needs the environment variable UNSET"),
        (
            {"command": ["a"], "env": {"X": "${A-B}"}},
            "handlers.it.env.X: write an environment variable as ${NAME}, and",
        ),
        ({"command": ["a"], "env": {"X": "a${"}}, "handlers.it.env.X: write an environment variable as ${NAME}"),
        ({"command": ["dump", "{"]}, "handlers.it.command[1]"),
        ({"command": ["dump", "a\0b"]}, "handlers.it.command[1] must not contain a NUL"),
        ({"command": ["dump"], "shell": True}, "unknown key `shell` in [handlers.it]; the keys are: `timeout`,"),
        ({"command": ["dump"], "kil_after": 9}, "unknown key `kil_after` in [handlers.it]: did you mean `kill_after`?"),
        ({"comand": ["dump"]}, "unknown key `comand` in [handlers.it]: did you mean `command`?"),
        ({"cwd": "/", "urls": "http://x/"}, "unknown key `urls` in [handlers.it]: did you mean `url`?"),
        ({"command": ["dump"], "kill_after": 9}, "handlers.it.kill_after"),
        (
            {"command": ["dump"], "cwd": "/nowhere/at/all"},
            "handlers.it.cwd: the directory /nowhere/at/all does not exist",
        ),
        ({"command": ["dump"], "env": {"A=B": "c"}}, "handlers.it.env"),
        ({"command": ["dump", "{stdin}"], "stdin": True}, "handlers.it.stdin"),
        ({"url": "ftp://x/"}, "handlers.it.url"),
        ({"url": "http://{host}/"}, "handlers.it.url"),
        ({"url": "http://x/a{b}"}, "handlers.it.url: a slot"),
        (
            {"url": "http://x/", "method": "FETCH"},
            "handlers.it.method: unknown value 'FETCH'; the values are: GET, HEAD",
        ),
        ({"url": "http://x/", "headers": {"A": "${MISSING}"}}, "handlers.it.headers.A needs the environment variable"),
        ({"url": "http://x/", "headers": {"A": "a\r\nB: c"}}, "handlers.it.headers.A contains invalid characters"),
        ({"url": "http://x/", "read_timeout": 0}, "handlers.it.read_timeout"),
    ],
)
def test_a_table_that_cannot_be_used_is_named(table: Any, complaint: str) -> None:
    with pytest.raises(ConfigError) as error:
        load({"it": table})
    assert complaint in str(error.value)


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("", "has no function with @pexecutor.handler"),
        ("import nothing_like_this", "cannot import the handlers of"),
        ("1 +", "cannot import the handlers of"),
        ("@handler\ndef f(): ...", "f: a handler takes the context"),
        ("@handler\ndef f(context, width): ...", "f: the parameter `width` has no annotation"),
        ("@handler\ndef f(context, *args: int): ...", "cannot be given by name"),
        ("@handler\ndef f(context, **kwargs: int): ...", "cannot be given by name"),
        ("@handler\ndef f(context, *, x: 'Missing'): ...", "its signature cannot be read"),
        ("@handler\ndef f(context, *, x: object()): ...", "f: "),
        ("@handler(process=True)\nasync def f(context): ...", "an async function cannot have process=True"),
        ("@handler(name='sleep')\ndef f(context): ...", "there are two handlers `sleep`"),
    ],
)
def test_a_module_that_cannot_be_used_is_named(tmp_path: Path, source: str, complaint: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(f"from pexecutor import handler\n{source}\n")
    with pytest.raises(ConfigError) as error:
        load({}, str(file))
    assert complaint in str(error.value)


def test_handlers_come_from_tables_and_modules(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text('from pexecutor import handler\n@handler\ndef hello(context):\n    """Says hello."""\n')
    catalogue = load({"dump": {"command": ["pg_dump", "{db}"], "description": "dumps"}}, str(file))
    assert [(view.name, view.description) for view in catalogue.describe()] == [
        ("dump", "dumps"),
        ("hello", "Says hello."),
        ("sleep", "Sleeps for the task's duration, in milliseconds"),
    ]


def test_what_is_not_declared_does_not_exist() -> None:
    assert BUILT_IN.check(Task("a", handler="rm")) == ("handler", "unknown handler `rm`; the handlers are: `sleep`")


def test_duration_is_for_sleep_alone() -> None:
    catalogue = load({"dump": {"command": ["pg_dump"]}})
    assert catalogue.check(Task("a", duration=5)) is None
    assert catalogue.check(Task("a", handler="dump", duration=5))[0] == "duration"
    assert BUILT_IN.check(Task("a", params={"x": 1})) is not None


ODD = '''
import sys
import msgspec
from pexecutor import handler

class Odd(msgspec.Struct):
    text: str
    def __post_init__(self) -> None:
        sys.exit(self.text)

@handler
def odd(context, *, it: Odd = None):
    """Says caf\\udce9."""
'''


def test_a_check_that_raises_is_a_complaint(tmp_path: Path) -> None:
    (file := tmp_path / "odd.py").write_text(ODD)
    catalogue = load_catalogue(declared={}, modules=[str(file)], environment={})
    task = Task("a", handler="odd", params={"it": {"text": "no \x1b such text"}})
    assert catalogue.check(task) == (
        "params",
        r"`params`: the handler's check failed: SystemExit: no \x1b such text",
    )
    assert msgspec.json.encode(catalogue.describe())


@pytest.mark.parametrize(
    ("module", "complaint"),
    [
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise LookupError('caf\\udce9')", r"caf\\udce9"),
        ("import pexecutor\n@pexecutor.handler(name='caf\\udce9')\ndef f(context): ...", "cannot be a handler's name"),
        ("import pexecutor\n@pexecutor.handler\ndef f(context, *, a: str = 'caf\\udce9'): ...", "JSON cannot express"),
    ],
)
def test_a_module_that_cannot_be_used_is_a_fault_of_the_settings(tmp_path: Path, module: str, complaint: str) -> None:
    (file := tmp_path / "odd.py").write_text(module)
    with pytest.raises(ConfigError, match=complaint):
        load_catalogue(declared={}, modules=[str(file)], environment={})
