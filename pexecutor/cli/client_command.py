"""What all commands have in common: where the server is, and how to tell what it said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from .output import Report, report_for

if TYPE_CHECKING:
    from ..client.client import Client

URL: Final = "http://127.0.0.1:8080"


class Session:
    """What a command works with.

    Parameters:
        client: the server.
        as_json: whether to tell what it said as it came.
    """

    def __init__(self, client: Client, *, as_json: bool) -> None:
        self.client = client
        self.as_json = as_json
        self.report: Report = report_for(as_json=as_json)


class ClientCommand(click.Command):
    """A command on a ``Session``, which is its ``obj``; what it returns is the exit status."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.params.extend(
            [
                click.Option(["--json", "as_json"], is_flag=True, help="What the API said, as it came."),
                click.Option(
                    ["--url"],
                    default=URL,
                    envvar="PEXECUTOR_URL",
                    show_envvar=True,
                    show_default=True,
                    help="The server.",
                ),
                click.Option(
                    ["--token"],
                    type=click.UNPROCESSED,  # the client checks it, and no message repeats it
                    envvar="PEXECUTOR_TOKEN",
                    show_envvar=True,
                    help="A bearer token; others can see it here, so prefer the environment.",
                ),
            ]
        )

    def invoke(self, ctx: click.Context) -> Any:
        """Run it."""
        # Imported here, as it is much to load, and who asks for help needs none of it.
        from ..client.client import Client

        url, token, as_json = (ctx.params.pop(name) for name in ("url", "token", "as_json"))
        with Client(url, token) as client:
            ctx.obj = Session(client, as_json=as_json)
            return super().invoke(ctx)
