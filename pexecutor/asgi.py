"""The server as an ASGI app, for Hypercorn's own command line.

::

    hypercorn -k trio 'pexecutor.asgi:create_app(pool_size=5, queue_size=1000)' -b 127.0.0.1:8080

The app keeps the promises of ``pexecutor``: signals, drain, bound, log lines and exit status are the same, whether the
parent process, its worker or both are signalled (see ``process/host.py``). The same code serves connections (see
``web/serving/hosted.py``). The drain happens in the lifespan. The message ``lifespan.shutdown`` reaches the inner app
only after the drain, because that app's nursery then gets a deadline, and because Hypercorn cancels the lifespan once
the message is answered. There is one difference: when the parent is signalled, Hypercorn closes its connections at
once, so no request is answered during the drain.

Only one worker is allowed (``-w 1``, the default), because each worker would have its own names and its own queue.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import structlog
import trio
from hypercorn.typing import ASGIReceiveCallable, ASGIReceiveEvent, ASGISendCallable, ASGISendEvent, Scope

from .config import Config, load_config
from .errors import UnusableStoreError
from .log import configure_logging, log_ignored_variables
from .process.host import Host
from .process.service_manager import ServiceManager, is_working
from .process.stop import StopBound, StopSignals, log_stopped, report_drain
from .process.streams import background_streams, replace_streams
from .reload import Reloader
from .server import make_serving, unwrapped_unusable_store
from .web.serving.hosted import HostedConnections
from .web.serving.inherited import drop_variables

_log = structlog.get_logger()


def create_app(file: str | None = None, **settings: Any) -> ExecutorApp:
    """Make an ASGI app with its own executor, which runs for the app's lifespan.

    Parameters:
        file: a TOML file of settings.
        settings: fields of ``Config``. They override the ``PEXECUTOR_`` variables, which override the file.

    Raises:
        ConfigError: a setting is unknown or out of range.
    """
    host = Host()
    host.allow_interrupt()
    if host.is_worker:
        replace_streams()  # before handler modules set up loggers, which keep the present streams
    path = None if file is None else Path(file)
    return ExecutorApp(partial(load_config, file=path, environment=os.environ, flags=settings))


class ExecutorApp:
    """An ASGI app whose lifespan runs an executor.

    Parameters:
        load: reads the settings, at the start and for each reload.

    Raises:
        ConfigError: a setting is invalid.
    """

    def __init__(self, load: Callable[[], Config]) -> None:
        self._load = load
        self._config = load()
        self._serving = make_serving(self._config)
        self._executor, self._app = self._serving.executor, self._serving.web.app

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Serve one request, or run the lifespan."""
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        with _only_worker() as only:
            if only:
                bound = StopBound(self._config.drain_timeout_seconds)
                with background_streams(), bound:
                    configure_logging(self._config.log_level, self._config.log_format)
                    log_ignored_variables(os.environ)
                    await self._live(bound, scope, receive, send)
            else:
                message = "only one worker is allowed, as each would have its own queue: run Hypercorn with -w 1"
                await _refuse(receive, send, message)

    async def _live(self, bound: StopBound, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        executor, host = self._executor, Host()
        host.wait_for_lifespan(self._config.drain_timeout_seconds + bound.margin_seconds)
        manager = ServiceManager.from_environment(os.environ)
        reloader = Reloader(self._config, self._load, self._serving, os.environ, manager=manager)
        signals = StopSignals(executor, bound, reloader.on_signal)
        drop_variables(os.environ)
        try:
            with unwrapped_unusable_store():
                async with trio.open_nursery() as nursery:
                    await nursery.start(bound.run)
                    await nursery.start(signals.run)
                    await nursery.start(HostedConnections().run)
                    nursery.start_soon(report_drain, executor, bound, manager)
                    nursery.start_soon(manager.run, lambda: is_working(executor.statistics()))
                    nursery.start_soon(host.stop_with, executor)
                    nursery.start_soon(host.report_stop, signals.parent_signalled)
                    await nursery.start(executor.run)
                    _log.info("serving", pool_size=self._config.pool_size, queue_size=self._config.queue_size)
                    inner_receive = self._drained_before_shutdown(receive, signals)
                    await self._app(scope, inner_receive, _reporting_ready(send, manager))
                    nursery.cancel_scope.cancel()
        except UnusableStoreError as error:
            await _refuse(receive, send, str(error))

    def _drained_before_shutdown(self, receive: ASGIReceiveCallable, signals: StopSignals) -> ASGIReceiveCallable:
        async def receive_drained() -> ASGIReceiveEvent:
            event = await receive()
            if event["type"] == "lifespan.shutdown":
                signals.parent_signalled()
                self._executor.drain()
                await self._executor.stopped.wait()
                # Logged here, because Hypercorn cancels the lifespan once this message is answered.
                log_stopped(self._executor.statistics())
            return event

        return receive_drained


def _reporting_ready(send: ASGISendCallable, manager: ServiceManager) -> ASGISendCallable:
    async def send_and_report(event: ASGISendEvent) -> None:
        await send(event)
        if event["type"] == "lifespan.startup.complete":
            manager.ready("serves under Hypercorn")

    return send_and_report


async def _refuse(receive: ASGIReceiveCallable, send: ASGISendCallable, message: str) -> None:
    await receive()
    await send({"type": "lifespan.startup.failed", "message": message})


@contextmanager
def _only_worker() -> Iterator[bool]:
    """Claim to be the parent's only worker for the duration of this context; yield whether the claim succeeded."""
    if multiprocessing.parent_process() is None:
        yield True
        return
    with socket.socket(socket.AF_UNIX) as held:
        try:
            held.bind(f"\0pexecutor-worker-of-{os.getppid()}")
        except OSError:
            yield False
        else:
            yield True
