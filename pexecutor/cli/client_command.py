"""``ClientCommand``: the options and the session that all commands which call a server share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from ..limits.defaults import HOST, PORT
from .output import Report, report_for

if TYPE_CHECKING:
    from ..client.documents import DocumentClient

URL: Final = f"http://{HOST}:{PORT}"


class Session:
    """The client and the report of one run of a command.

    Parameters:
        client: the client of the server.
        as_json: whether to print the API's JSON unchanged.
    """

    def __init__(self, client: DocumentClient, *, as_json: bool) -> None:
        self.client = client
        self.as_json = as_json
        self.report: Report = report_for(as_json=as_json)


class ClientCommand(click.Command):
    """A command with a ``Session`` as its ``obj``; it returns its exit status."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.params.extend(
            [
                click.Option(["--json", "as_json"], is_flag=True, help="Print the API's JSON unchanged."),
                click.Option(
                    ["--url"],
                    default=URL,
                    envvar="PEXECUTOR_URL",
                    show_envvar=True,
                    show_default=True,
                    help="URL of the server.",
                ),
                click.Option(
                    ["--token"],
                    type=click.UNPROCESSED,  # the client checks the token, and no message may repeat it
                    envvar="PEXECUTOR_TOKEN",
                    show_envvar=True,
                    help="A bearer token. Other users can see it here: prefer the environment variable.",
                ),
            ]
        )

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command with a session."""
        # Imported here, because loading the HTTP client takes long and `--help` does not need it.
        from ..client.documents import DocumentClient

        url, token, as_json = (ctx.params.pop(name) for name in ("url", "token", "as_json"))
        with DocumentClient(url, token) as client:
            ctx.obj = Session(client, as_json=as_json)
            return super().invoke(ctx)
