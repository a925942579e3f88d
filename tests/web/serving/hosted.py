"""The app under Hypercorn's own ``serve``, in the test's Trio run, with the settings that ``HttpServer`` would use."""

from __future__ import annotations

import socket

import trio
from hypercorn.config import Config as HypercornConfig
from hypercorn.config import Sockets
from hypercorn.trio.run import worker_serve
from hypercorn.utils import wrap_app
from quart_trio import QuartTrio

from pexecutor.config import Config
from pexecutor.web.serving import listener
from pexecutor.web.serving.hosted import HostedConnections


class HostedServer:
    """A server that runs the app until stopped, as ``hypercorn -k trio`` does."""

    def __init__(self, app: QuartTrio, config: Config) -> None:
        self._app = app
        self.hypercorn = HypercornConfig()
        self.hypercorn.keep_alive_timeout = config.request_timeout_seconds
        self.hypercorn.certfile, self.hypercorn.keyfile = config.tls_certfile, config.tls_keyfile or config.tls_certfile
        self.hypercorn.errorlog = None
        self._listener = listener.listen(config.host, config.port)
        self._stopping = trio.Event()
        scheme = "http" if config.tls_certfile is None else "https"
        self.url = f"{scheme}://{config.host}:{self._listener.getsockname()[1]}"

    async def run(self) -> None:
        """Serve; return some time after ``stop``."""
        async with trio.open_nursery() as nursery:
            await nursery.start(HostedConnections().run)
            app = wrap_app(self._app, self.hypercorn.wsgi_max_body_size, "asgi")
            await worker_serve(app, self.hypercorn, sockets=self._sockets(), shutdown_trigger=self._stopping.wait)
            nursery.cancel_scope.cancel()

    def stop(self) -> None:
        """Accept no more connections, and end."""
        self.hypercorn.graceful_timeout = listener.STOP_SECONDS_MAX
        self._stopping.set()

    def _sockets(self) -> Sockets:
        mine: list[socket.socket] = [self._listener]
        return Sockets(mine, [], []) if self.hypercorn.ssl_enabled else Sockets([], mine, [])
