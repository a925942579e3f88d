"""``serve --check``: check the settings as ``serve`` does, and print what it would serve.

No socket and no store is opened. Handler modules are imported, because only then their functions are known. To show a
further kind of setting, write a function that yields its lines, and add it to ``_SECTIONS``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Final

import click
import msgspec

from ..config import Config, where_tasks_are
from ..errors import counted
from ..notifications.settings import load_targets
from ..schedules.changes import with_start
from ..schedules.declaration import ScheduleDeclaration
from ..schedules.tables import load_tables
from ..schedules.times import next_time, next_times
from ..server import Prepared, check_access, prepare
from ..web.api.wire import timestamp
from ..web.serving.listener import address_of, url_of
from .record_text import one_line
from .schedule_text import times_of

Line = tuple[str, ...]
"""The fields of a line. The first one is the kind of thing that the line is about."""


def print_check(config: Config) -> None:
    """Check the settings, and print what a server with them would serve.

    Raises:
        ConfigError: ``serve`` would refuse the settings, with the same message.
        ListenError: the host has no address.
    """
    prepared = prepare(config)
    check_access(config, address_of(config.host, config.port).host, f"--host {config.host}")
    for section in _SECTIONS:
        for line in section(config, prepared):
            click.echo("\t".join(map(one_line, line)))


def _address(config: Config, prepared: Prepared) -> Iterator[Line]:
    url = url_of(address_of(config.host, config.port).host, config.port, prepared.tls) + config.base_path
    yield "address", url, *(["the system chooses the port"] if config.port == 0 else [])


def _store(config: Config, _: Prepared) -> Iterator[Line]:
    yield "store", f"tasks {where_tasks_are(config)}"


def _pool(config: Config, _: Prepared) -> Iterator[Line]:
    yield "pool", f"{_at_once(config.pool_size)}, {config.queue_size} may be pending"


def _access(config: Config, _: Prepared) -> Iterator[Line]:
    for name, table in config.tokens.items():
        yield "token", name, str(table["scope"])
    if not config.tokens:
        yield "token", "none: " + ("every client" if config.allow_anonymous else "every client on the loopback")


def _handlers(_: Config, prepared: Prepared) -> Iterator[Line]:
    for handler in prepared.serving.executor.handlers.describe():
        yield "handler", handler.name, handler.description


def _limits(config: Config, prepared: Prepared) -> Iterator[Line]:
    limits = prepared.serving.executor.handlers.limits
    for name, number in limits.numbers.items():
        per = config.limits[name].get("per")
        yield "limit", f"limits.{name}", _at_once(number), *([] if per is None else [f"for each {per}"])
    for name, number in limits.handler_numbers.items():
        yield "limit", f"handlers.{name}", _at_once(number)


def _at_once(number: int) -> str:
    return f"{counted(number, 'task runs', 'tasks run')} at once"


def _schedules(config: Config, prepared: Prepared) -> Iterator[Line]:
    now = time.time()
    for name, declaration in load_tables(config.schedules, prepared.serving.executor.handlers.check, now).items():
        times = times_of(msgspec.to_builtins(declaration) | {"timezone": declaration.timezone})
        yield "schedule", name, times, *_next_times(name, declaration, now)


def _next_times(name: str, declaration: ScheduleDeclaration, now: float) -> list[str]:
    if declaration.paused is True:
        return ["paused"]
    definition = with_start(declaration.definition, None, now)
    upcoming = next_times(name, definition, next_time(name, definition, now))
    return [timestamp(each.at) for each in upcoming] or ["none"]


def _hooks(config: Config, _: Prepared) -> Iterator[Line]:
    for name, table in config.hooks.items():
        yield "hook", name, table["scheme"], f"submits to {table['task'].get('handler', 'sleep')}"


def _targets(config: Config, prepared: Prepared) -> Iterator[Line]:
    for name, target in load_targets(config.notify, prepared.serving.executor.handlers.names(), os.environ).items():
        yield "notify", name, target.address.origin, "on " + ", ".join(sorted(target.on))


_SECTIONS: Final[tuple[Callable[[Config, Prepared], Iterator[Line]], ...]] = (
    *(_address, _store, _pool, _access),
    *(_handlers, _limits, _schedules, _hooks, _targets),
)
"""What is printed, in this order."""
