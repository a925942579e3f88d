"""The command ``move``: move the tasks of one store to another while their names stay held."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from ..config import DEFAULTS, Config, database_file, load_config
from ..errors import ConfigError
from ..stores.address import MemoryAddress, SqliteAddress, ValkeyAddress, parse_store
from .streams import notify

if TYPE_CHECKING:
    from ..stores.moves.move import Moved
    from ..stores.moves.sqlite_side import FileSide
    from ..stores.moves.valkey_side import QueueSide


@click.command()
@click.option("--from", "source", metavar="STORE", required=True, help="Source of the tasks: sqlite, sqlite:PATH, ...")
@click.option("--to", "target", metavar="STORE", required=True, help="Target of the tasks.")
@click.option("--history", is_flag=True, help="Move finished tasks, too.")
@click.option(
    "--recover", is_flag=True, help="If the server died, recover its running tasks first, as its next start would."
)
@click.option("--new-ids", is_flag=True, help="Allow a move that gives the tasks new ids.")
@click.option("--queue", metavar="NAME", help=f"Name of the queue on a shared store. [default: {DEFAULTS.queue}]")
@click.option("--volatile", is_flag=True, help="Allow a target server that loses all data at a restart.")
@click.option("--queue-size", metavar="N", help="Maximum number of waiting tasks in the target. [default: as `serve`]")
@click.option("--undo", is_flag=True, help="Undo an interrupted move whose tasks have not arrived in the target.")
@click.option("--dry-run", is_flag=True, help="Check whether the tasks can be moved, and change nothing.")
@click.option("--data-dir", metavar="DIRECTORY", help="Directory of the file of `sqlite`.")
@click.option("--config", "file", type=click.Path(path_type=Path), help="A TOML file of settings.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")
def move(
    source: str,
    target: str,
    *,
    history: bool,
    recover: bool,
    new_ids: bool,
    undo: bool,
    dry_run: bool,
    volatile: bool,
    file: Path | None,
    as_json: bool,
    **flags: str | None,
) -> None:
    """Move tasks to another store. No server may use either store. After an interruption, repeat the same command."""
    # Imported here, because only this command needs it.
    from ..stores.moves import move
    from .trio_runner import run

    config = load_config(file=file, environment=os.environ, flags=flags)
    terms = move.Terms(config.queue_size, history, recover, new_ids)
    here = _side("--from", source, config, must_exist=True, volatile=volatile)
    there = _side("--to", target, config, must_exist=False, volatile=volatile)
    if here.shown == there.shown:
        raise ConfigError(f"--from and --to are both {here.shown}: name two different stores")

    async def move_them() -> Moved | None:
        async with here.opened(), there.opened():
            if undo:
                await move.undo(here, there)
                return None
            return await move.move(here, there, terms, dry_run=dry_run)

    moved = run(move_them)
    if moved is None:
        click.echo(f"{here.shown} can be served again")
    elif as_json:
        click.echo(msgspec.json.encode(moved))
    else:
        _report(moved, dry_run=dry_run)


def _side(option: str, text: str, config: Config, *, must_exist: bool, volatile: bool) -> FileSide | QueueSide:
    from ..handlers.processes.leftovers import end_leftovers, file_identity
    from ..stores.moves.sqlite_side import FileSide

    match address := parse_store(text):
        case SqliteAddress(file):
            path = file or database_file(config)
            return FileSide(
                path,
                must_exist=must_exist,
                crashes_max=config.crashes_max,
                end_leftovers=partial(end_leftovers, store=partial(file_identity, path)),
            )
        case MemoryAddress():
            raise ConfigError(f"{option} cannot be memory: its tasks exist only inside their server's process")
        case ValkeyAddress():
            from ..stores import valkey

            with valkey.needs_driver():
                from ..stores.moves.valkey_side import QueueSide
                from ..stores.valkey.wire import KeepSeconds
            return QueueSide(
                address,
                config.queue,
                keep_seconds_max=KeepSeconds(config.history_seconds_max, config.history_failed_seconds_max),
                may_forget=volatile,
            )


def _report(moved: Moved, *, dry_run: bool) -> None:
    verb = "would be moved" if dry_run else "moved"
    total = sum(moved.in_flight.values())
    states = ", ".join(f"{number} {state}" for state, number in sorted(moved.in_flight.items()))
    click.echo(f"{verb} from {moved.source} to {moved.target}: {total} in flight" + (f" ({states})" if states else ""))
    click.echo(f"their ids {'do not change' if moved.ids_kept else 'are new'}")
    if not (total or moved.schedules or moved.deliveries or moved.history or moved.history_left):
        notify(
            f"pexecutor: {moved.source} has no tasks and no schedules: "
            "if the server's store is another one, name its --config or --data-dir"
        )
    if moved.schedules:
        click.echo(f"schedules: {moved.schedules}")
    if moved.deliveries:
        click.echo(f"deliveries: {moved.deliveries}")
    if moved.history:
        click.echo(f"finished: {moved.history}")
    if moved.history_left:
        hint = "; --history moves them, too" if dry_run else ""
        click.echo(f"finished tasks that are not moved: {moved.history_left}{hint}")
