"""The entry point of the command line, and the command ``serve``.

``pexecutor`` without a command serves. A failure is one line on standard error. The exit status of ``serve`` is 0 after
a clean stop, 1 if the server cannot work, and 2 if an argument or a setting is invalid. ``commands.py`` lists the other
commands, and ``exit_status.py`` their exit statuses.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Final, NoReturn

import click
from click.shell_completion import CompletionItem

from .. import __version__
from ..config import DEFAULTS, Config, load_config, where_tasks_are
from ..errors import PexecutorError
from ..limits.defaults import CHARACTERS_SHOWN_MAX
from .commands import COMMANDS
from .exit_status import Exit, exit_of, explain
from .streams import (
    OutputClosedError,
    StreamError,
    discard_output,
    flush_output,
    prepare_streams,
    report_failure,
    stream_failures,
)
from .text import take_text

_COMMAND: Final = "pexecutor.command"
"""The key in ``click.Context.meta`` of the command's name."""


_COMPLETE: Final = "_PEXECUTOR_COMPLETE"
"""The environment variable that a shell sets to request completions."""


class _ServeByDefault(click.Group):
    """A group in which flags without a command are flags of ``serve``, as in the original program."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if ctx.resilient_parsing and not args:  # a shell requests the names of the commands
            return super().parse_args(ctx, args)
        if not args or (args[0].startswith("-") and args[0] not in ("--help", "--version")):
            args = ["serve", *args]
        ctx.meta[_COMMAND] = args[0]
        if args[0] != "serve":
            prepare_streams()
        with stream_failures():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, with ``stream_failures`` unless it is ``serve``, which has its own streams."""
        if ctx.meta[_COMMAND] == "serve":
            return super().invoke(ctx)
        with stream_failures():
            return super().invoke(ctx)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the completions: commands, and the flags of ``serve`` if ``incomplete`` begins like a flag."""
        flags = self.commands["serve"].shell_complete(ctx, incomplete) if incomplete.startswith("-") else []
        return [*super().shell_complete(ctx, incomplete), *flags]


@click.group(cls=_ServeByDefault)
@click.version_option(__version__, prog_name="pexecutor")
def cli() -> None:
    """A task executor you talk to over HTTP. Without a command, the server starts."""


for _command in COMMANDS:
    cli.add_command(take_text(_command))


@cli.command()
@click.option("-pool-size", "--pool-size", metavar="N", help=f"Tasks that run at once. [default: {DEFAULTS.pool_size}]")
@click.option(
    "-queue-size", "--queue-size", metavar="N", help=f"Tasks that may be pending. [default: {DEFAULTS.queue_size}]"
)
@click.option("-port", "--port", metavar="PORT", help=f"TCP port; 0 chooses a free port. [default: {DEFAULTS.port}]")
@click.option("-host", "--host", metavar="HOST", help=f"Address to listen on. [default: {DEFAULTS.host}]")
@click.option("--server", metavar="KIND", help=f"HTTP implementation: hypercorn or fast. [default: {DEFAULTS.server}]")
@click.option(
    "--drain-timeout",
    "drain_timeout_seconds",
    metavar="SECONDS",
    help=f"How long running tasks may take to end at a stop. [default: {DEFAULTS.drain_timeout_seconds:g}]",
)
@click.option(
    "--handlers",
    "handler_modules",
    metavar="MODULE",
    multiple=True,
    help="A module or a Python file with handlers; may be repeated.",
)
@click.option(
    "--store", metavar="STORE", help=f"sqlite, memory, or valkey://HOST:PORT/DATABASE. [default: {DEFAULTS.store}]"
)
@click.option("--queue", metavar="NAME", help=f"Name of the queue on a shared store. [default: {DEFAULTS.queue}]")
@click.option(
    "--lease",
    "lease_seconds",
    metavar="SECONDS",
    help=f"How long a node may be silent before other nodes run its tasks. [default: {DEFAULTS.lease_seconds:g}]",
)
@click.option(
    "--data-dir", metavar="DIRECTORY", help="Directory of the tasks' file. [default: the user's data directory]"
)
@click.option(
    "--logs-dir", metavar="DIRECTORY", help="Directory of the tasks' whole output. [default: beside the tasks' file]"
)
@click.option(
    "--durability",
    metavar="LEVEL",
    help="sqlite: full or normal; valkey: none, aof or fsync. [default: full; aof]",
)
@click.option(
    "--unknown-handlers",
    metavar="ACTION",
    help="If stored tasks name unknown handlers: refuse to start, or fail these tasks. "
    f"[default: {DEFAULTS.unknown_handlers}]",
)
@click.option(
    "--allow-anonymous",
    is_flag=True,
    default=None,
    help="Allow requests without a token on any address: everyone who reaches the server may do everything.",
)
@click.option("--base-path", metavar="PATH", help="Path below which the server is served, like /px. [default: none]")
@click.option("--certfile", "tls_certfile", metavar="FILE", help="Serve HTTPS with this certificate, in PEM.")
@click.option("--keyfile", "tls_keyfile", metavar="FILE", help="The certificate's key, if it is in another file.")
@click.option("--log-level", metavar="LEVEL", help=f"debug, info, warning or error. [default: {DEFAULTS.log_level}]")
@click.option("--log-format", metavar="FORMAT", help=f"text or json. [default: {DEFAULTS.log_format}]")
@click.option("--config", "file", type=click.Path(path_type=Path), help="A TOML file of settings.")
@click.option("--check", is_flag=True, help="Check all settings, print what would be served, and exit.")
def serve(file: Path | None, check: bool, **flags: Any) -> None:
    """Serve until SIGTERM, SIGINT or POST /drain. A second signal stops at once.

    SIGHUP and POST /reload read the settings again.
    """
    load = partial(load_config, file=file, environment=os.environ, flags=flags)
    if check:
        _check(load())
    else:
        _serve(load)


def _check(config: Config) -> None:
    """Check the settings, and print what would be served."""
    prepare_streams()
    from ..log import configure_logging, log_ignored_variables
    from ..web.serving.listener import ListenError
    from .check import print_check

    configure_logging(config.log_level, config.log_format)
    log_ignored_variables(os.environ)
    try:
        with stream_failures():
            print_check(config)
    except ListenError as error:
        raise click.ClickException(str(error)) from error


def _serve(load: Callable[[], Config]) -> None:
    config = load()
    # Imported here, because they take most of a second to load and only `serve` needs them.
    import trio

    from ..log import configure_logging, log_ignored_variables
    from ..process.service_manager import ServiceManager
    from ..process.stop import StopBound
    from ..process.streams import background_streams
    from ..server import serve as serve_http
    from ..web.serving.inherited import take_inherited
    from ..web.serving.listener import ListenError

    with background_streams(), StopBound(config.drain_timeout_seconds) as bound:
        configure_logging(config.log_level, config.log_format)
        log_ignored_variables(os.environ)
        manager = ServiceManager.from_environment(os.environ)
        if manager.has_watchdog:
            faulthandler.enable(file=2)  # the watchdog's SIGABRT then writes the stacks of all threads
        announce = partial(_begin_serving, config=config)
        try:
            inherited = take_inherited(os.environ)
            serve_here = partial(serve_http, config, announce=announce, bound=bound, load=load)
            trio.run(partial(serve_here, manager=manager, inherited=inherited))
        except ListenError as error:
            raise click.ClickException(str(error)) from error


take_text(serve)


def _begin_serving(url: str, config: Config) -> None:
    """Print the server's URL and the place of its tasks."""
    # The objects of the start live as long as the process. Excluding them saves 30 ms in each full collection.
    gc.freeze()
    sys.stdout.write(f"pexecutor serves at {url}\nits tasks {where_tasks_are(config)}\n")


def main() -> None:
    """Run the command line and exit."""
    try:
        with stream_failures() if _COMPLETE in os.environ else nullcontext():
            status = cli.main(prog_name="pexecutor", complete_var=_COMPLETE, standalone_mode=False)
        flush_output()
    except OutputClosedError:
        discard_output()
        sys.exit(Exit.OUTPUT_CLOSED)
    except PexecutorError as error:
        _fail(explain(error), exit_of(error))
    except click.ClickException as error:
        _fail(" ".join(error.format_message().split()), error.exit_code)
    except click.Abort:
        _fail("interrupted", Exit.INTERRUPTED)
    except UnicodeEncodeError as error:
        _fail(f"{error.object[:CHARACTERS_SHOWN_MAX]!r} is not UTF-8", Exit.USAGE)
    sys.exit(status)


def _fail(message: str, status: int) -> NoReturn:
    try:
        flush_output()
    except StreamError:
        discard_output()
    report_failure(message)
    sys.exit(status)
