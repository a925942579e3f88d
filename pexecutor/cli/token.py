"""``pexecutor token``: make the tokens that clients of a server need."""

from __future__ import annotations

import click

from ..access import SCOPES, check_token_name, hash_token, new_token


@click.group()
def token() -> None:
    """Make tokens for clients."""


@token.command()
@click.argument("name")
@click.option("--scope", type=click.Choice(SCOPES), required=True, help="What it may do: read < submit < admin.")
def new(name: str, scope: str) -> None:
    """Print a new token, this once, and what the file of settings needs to know of it."""
    check_token_name(name)
    made = new_token()
    click.echo(
        f'{made}\n\n# for the file of settings:\n[tokens.{name}]\nsha256 = "{hash_token(made)}"\nscope = "{scope}"'
    )
