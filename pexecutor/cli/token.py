"""The command ``token``: make tokens for the clients of a server."""

from __future__ import annotations

import click

from ..access import SCOPES, check_token_name, hash_token, new_token


@click.group()
def token() -> None:
    """Make tokens for clients."""


@token.command()
@click.argument("name")
@click.option("--scope", type=click.Choice(SCOPES), required=True, help="What the token allows: read < submit < admin.")
def new(name: str, scope: str) -> None:
    """Print a new token, and the lines for the settings file. The token cannot be printed again."""
    check_token_name(name)
    made = new_token()
    click.echo(f'{made}\n\n# for the settings file:\n[tokens.{name}]\nsha256 = "{hash_token(made)}"\nscope = "{scope}"')
