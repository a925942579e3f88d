"""Commands: programs that the operator allows tasks to run, with slots that a task fills with its params.

    [handlers.backup]
    command = ["pg_dump", "--file={file}", "--", "{db}"]

No shell is involved, and a task cannot add arguments: a slot is a whole argument or the whole value of an option in the
same argument (see ``slots.py``), and the program itself is never a slot. A value reaches the program unchanged, even if
it begins with a dash. So an operator puts ``--`` before a slot whose value must not be read as an option.

The operator also decides the environment: the variables that ``inherit_env`` names and that ``env`` sets, in which
``${NAME}`` is a variable of the server (see ``variables.py``). The server adds the task's id, name and trace (see
``mark.py``).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from ..errors import ConfigError
from ..limits.times import KILL_AFTER_SECONDS, KILL_AFTER_SECONDS_MAX
from ..task import PARAMS_BYTES_MAX, Task
from ..validation import table_from
from .complaints import missing, unknown, wrong
from .context import Context
from .contract import Complaint, EndedBySignalError, HandlerFailedError
from .last_line import last_line
from .processes.group import Program, run_group
from .processes.mark import marked
from .settings import HandlerSettings
from .slots import VALUE_SCHEMA, Slot, parse_argument, value_text
from .variables import filled

INHERITED: Final = ("PATH", "HOME", "LANG", "TZ")
STDIN: Final = "stdin"
_SENT_BY_OTHERS: Final = frozenset(
    {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGKILL, signal.SIGUSR1, signal.SIGUSR2}
)
"""Signals that are usually sent from outside the program. Other signals report the program's own faults."""
TRACE_VARIABLE: Final = "TRACEPARENT"


class CommandSettings(HandlerSettings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A command's table in the configuration file.

    Parameters:
        command: the program and its arguments; ``params.name`` fills ``{name}`` in ``{name}`` and ``--option={name}``.
        env: environment variables of the program; ``${NAME}`` in a value is replaced by a variable of the server.
        inherit_env: the names of variables that the program inherits from the server, if they are set there.
        cwd: the directory in which the program starts; ``None`` for the server's directory.
        stdin: whether the program reads ``params.stdin`` on standard input.
        kill_after: the time from SIGTERM to SIGKILL, in seconds.
        description: what the command does, in one line.
    """

    command: Annotated[tuple[str, ...], Meta(min_length=1)]
    env: dict[str, str] = msgspec.field(default_factory=dict)
    inherit_env: tuple[str, ...] = INHERITED
    cwd: str | None = None
    stdin: bool = False
    kill_after: Annotated[float, Meta(ge=0, le=KILL_AFTER_SECONDS_MAX)] = KILL_AFTER_SECONDS
    description: str = ""


class CommandHandler:
    """The handler of one command, which runs as a process group of its own.

    Parameters:
        settings: the table of the command.
        environment: the server's environment.
        where: the name of the table in error messages.

    Raises:
        ConfigError: an argument or an environment variable is invalid.
    """

    contains_itself = True

    def __init__(self, settings: CommandSettings, environment: Mapping[str, str], where: str) -> None:
        self._settings = settings
        self._argv = [_parsed(element, f"{where}.command[{at}]") for at, element in enumerate(settings.command)]
        slots = [element.name for element in self._argv if isinstance(element, Slot)]
        _check_slots(self._argv[0], slots, settings, where)
        self._names = dict.fromkeys([*slots, *([STDIN] if settings.stdin else [])])
        self._environment = _environment(settings, environment, where)
        self.description: str = settings.description or f"runs {settings.command[0]}"
        self.ends_with_us = False

    @property
    def params_schema(self) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {name: {"type": "string"} if name == STDIN else VALUE_SCHEMA for name in self._names},
            "required": list(self._names),
            "additionalProperties": False,
        }

    def check(self, task: Task) -> Complaint | None:
        """Return why the params are invalid, or ``None``."""
        for name in task.params:
            if name not in self._names:
                return unknown(name, self._names)
        sizes = []
        for name in self._names:
            if name not in task.params:
                return missing(name)
            try:
                sizes.append(len(self._content(name, task.params[name])))
            except ValueError as error:
                return wrong(name, str(error))
        if sum(sizes) > PARAMS_BYTES_MAX:
            return "params", f"`params` must be at most {PARAMS_BYTES_MAX} bytes"
        return None

    def _content(self, name: str, value: Any) -> bytes:
        if name == STDIN and self._settings.stdin:
            if not isinstance(value, str):
                raise ValueError("expected a string")
            return value.encode(errors="replace")
        return value_text(value).encode()

    async def run(self, context: Context, task: Task) -> dict[str, int]:
        """Run the command.

        Raises:
            HandlerFailedError: the program could not be started, or its exit code is not 0.
        """
        values = {name: self._content(name, task.params[name]) for name in self._names}
        argv = [element if isinstance(element, str) else element.filled(values[element.name]) for element in self._argv]
        trace = {} if context.traceparent is None else {TRACE_VARIABLE: context.traceparent}
        environment = marked({**self._environment, **trace}, context)
        program = Program(argv, environment, self._settings.cwd, self._settings.kill_after)
        exit_code = await run_group(program, context.output, stdin=values.get(STDIN))
        if exit_code != 0:
            raise process_failed(exit_code, last_line=last_line(context.output.stderr))
        return {"exit_code": 0}


def process_failed(exit_code: int, text: str = "{}", *, last_line: str = "") -> HandlerFailedError:
    """Return the failure of an attempt whose process ended with an exit code.

    Parameters:
        exit_code: the exit code, or the negated number of the signal that ended the process. A shell exits with 128
            plus the number of the signal that ended its program.
        text: the error text, with ``{}`` for the exit code.
        last_line: the last line that the process wrote on standard error; it usually says why.
    """
    message = text.format(ending_text(exit_code)) + (f": {last_line}" if last_line else "")
    signalled = -exit_code if exit_code < 0 else exit_code - 128
    return EndedBySignalError(message) if signalled in _SENT_BY_OTHERS else HandlerFailedError(message)


def ending_text(exit_code: int) -> str:
    """Return how a process ended, as text: ``exit code 1`` or ``ended by SIGTERM``."""
    if exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        return f"ended by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"ended by signal {-exit_code}"


def command_handler(name: str, table: Any, environment: Mapping[str, str]) -> CommandHandler:
    """Return the handler that a table declares. Raises ``ConfigError``."""
    where = f"handlers.{name}"
    return CommandHandler(table_from(table, CommandSettings, where), environment, where)


def _parsed(element: str, where: str) -> str | Slot:
    if "\0" in element:
        raise ConfigError(f"{where} must not contain a NUL character")
    try:
        return parse_argument(element)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error


def _check_slots(program: str | Slot, slots: list[str], settings: CommandSettings, where: str) -> None:
    if isinstance(program, Slot) or not program:
        raise ConfigError(f"{where}.command[0] must name the program: it cannot be a slot or empty")
    if settings.stdin and STDIN in slots:
        raise ConfigError(f"{where}.stdin: `params.stdin` cannot fill a slot as well")
    if settings.cwd is not None and not _path(settings.cwd).is_dir():
        raise ConfigError(f"{where}.cwd: the directory {settings.cwd} does not exist")


def _environment(settings: CommandSettings, environment: Mapping[str, str], where: str) -> dict[str, str]:
    for variable, value in settings.env.items():
        if not variable or "=" in variable or "\0" in variable + value:
            raise ConfigError(f"{where}.env: {variable!r} is not a valid environment variable")
    inherited = {variable: environment[variable] for variable in settings.inherit_env if variable in environment}
    own = {variable: filled(value, environment, f"{where}.env.{variable}") for variable, value in settings.env.items()}
    return {**inherited, **own}


def _path(text: str) -> Path:
    """Return the path that a setting names. File names are UTF-8 in any locale."""
    return Path(os.fsdecode(text.encode("utf-8", "surrogateescape")))
