"""The command ``conformance``: test the guarantees of the store contract on a real store."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click
import msgspec

from ..config import Config, database_file, durability_of, load_config
from ..stores.address import MemoryAddress, SqliteAddress, StoreAddress, ValkeyAddress, parse_store
from .exit_status import Exit

if TYPE_CHECKING:
    from ..conformance import Finding, Subject
    from ..stores.sqlite import database
    from ..stores.valkey import server_checks

_COLOURS = {"holds": "green", "broken": "red", "does not apply": "bright_black"}


@click.command()
@click.option("--store", metavar="STORE", help="A store as for `serve`. [default: from the settings]")
@click.option("--durability", metavar="LEVEL", help="A level as for `serve`. [default: full]")
@click.option(
    "--data-dir", metavar="DIRECTORY", help="Directory for the temporary files of `sqlite`. [default: as `serve`]"
)
@click.option("--config", "file", type=click.Path(path_type=Path), help="A TOML file of settings.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, with the text of the contract.")
def conformance(file: Path | None, as_json: bool, **flags: str | None) -> int:
    """Test all guarantees on a store. Its own tasks are not touched. Exit status 1 if a guarantee is broken."""
    # Imported here, because only this command needs it.
    from ..conformance import GUARANTEES, try_all
    from .trio_runner import run

    config = load_config(file=file, environment=os.environ, flags=flags)
    subject = _subject(parse_store(config.store), config)

    async def try_it() -> list[Finding]:
        async with subject.opened():
            return await try_all(subject, GUARANTEES)

    findings = run(try_it)
    _report_json(subject, findings) if as_json else _report(subject, findings)
    return Exit.TROUBLE if any(finding.standing == "broken" for finding in findings) else Exit.DONE


def _subject(address: StoreAddress, config: Config) -> Subject:
    from ..conformance.subjects import MemorySubject, SqliteSubject

    match address:
        case MemoryAddress():
            return MemorySubject()
        case SqliteAddress():
            path = database_file(config)
            directory = path if path.is_dir() else path.parent
            return SqliteSubject(directory, durability=cast("database.Durability", durability_of(config)))
        case ValkeyAddress():
            from ..stores import valkey

            with valkey.needs_driver():
                from ..conformance.shared import ValkeySubject
            return ValkeySubject(address, durability=cast("server_checks.Durability", durability_of(config)))


def _report_json(subject: Subject, findings: Sequence[Finding]) -> None:
    document = {
        "store": subject.shown,
        "counts": Counter(finding.standing for finding in findings),
        "guarantees": [_view(finding) for finding in findings],
        "unproved": subject.unproved,
    }
    click.echo(msgspec.json.encode(document))


def _view(finding: Finding) -> dict[str, str]:
    guarantee = finding.guarantee
    return {
        "group": guarantee.group,
        "name": guarantee.name,
        "guarantee": guarantee.sentence,
        "promise": guarantee.promise,
        "standing": finding.standing,
        "reason": finding.reason,
    }


def _report(subject: Subject, findings: Sequence[Finding]) -> None:
    report_group = _report_to_people if sys.stdout.isatty() else _report_to_programs
    for group, of_group in groupby(findings, key=lambda finding: finding.guarantee.group):
        report_group(group, list(of_group))
    counts = Counter(finding.standing.value for finding in findings)
    shown = ", ".join(f"{counts[standing]} {phrase}" for standing, phrase in _PHRASES.items() if counts[standing])
    click.echo(f"{subject.shown}: of {len(findings)} guarantees {shown}")
    for reason, count in Counter(finding.reason for finding in findings if finding.standing == _NOT_APPLYING).items():
        click.echo(f"{_NOT_APPLYING} ({count}): {reason}")
    for sentence in subject.unproved:
        click.echo(f"not proved: {sentence}")


_NOT_APPLYING = "does not apply"
_PHRASES = {"holds": "hold", "broken": "are broken", "does not apply": "do not apply"}


def _report_to_people(group: str, findings: Sequence[Finding]) -> None:
    click.secho(group, bold=True)
    for finding in findings:
        standing = click.style(f"{finding.standing.value:<14}", fg=_COLOURS[finding.standing])
        click.echo(f"  {standing}  {finding.guarantee.sentence}")
        if finding.standing == "broken":
            click.echo(f"  {'':<14}  {finding.reason}")


def _report_to_programs(group: str, findings: Sequence[Finding]) -> None:
    for finding in findings:
        click.echo(f"{finding.standing}\t{group}\t{finding.guarantee.sentence}\t{finding.reason}".rstrip())
