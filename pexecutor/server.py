"""The composition root: make the socket, store, executor, app and signal handlers, and start and stop them in order.

The executor runs in a nursery around the HTTP server, not in the app's nursery. So HTTP still answers reads and cancels
during the whole drain, and a crash of the executor ends the server visibly.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple, cast

import msgspec
import structlog
import trio

from .config import Config, data_directory, database_file, durability_of
from .core.executor import Executor
from .errors import ConfigError, UnusableStoreError, counted, first_cause
from .handlers import Catalogue, load_catalogue
from .handlers.descriptors import connections_bound, raise_limit
from .handlers.processes.leftovers import end_leftovers, file_identity
from .handlers.processes.mark import marking_for
from .log import TaskLog, log_skip
from .logs.bounds import LogBounds
from .logs.directory import Directory, KeptDirectory, NodeDirectory, TemporaryDirectory
from .logs.files import LogFiles
from .process.service_manager import ServiceManager, is_working
from .process.stop import StopBound, StopSignals, log_stopped, report_drain
from .reload import Reloader, Serving, executor_settings
from .stores import Store
from .stores.address import SqliteAddress, ValkeyAddress, parse_store
from .stores.local.recovery import Recovered
from .stores.local.store import LocalStore
from .stores.schedules import ScheduleBounds
from .stores.sqlite.database import Database
from .stores.sqlite.database import Durability as DatabaseDurability
from .stores.sqlite.journal import SqliteJournal
from .stores.valkey import ValkeyStore, server_checks
from .stores.valkey import make_store as make_shared_store
from .web import create_web, make_http
from .web.access.origin import is_loopback
from .web.serving.listener import Http, HttpServer, listen
from .web.serving.tls import tls_context

_log = structlog.get_logger()


def make_executor(config: Config, handlers: Catalogue | None = None, *, task_log: TaskLog | None = None) -> Executor:
    """Make an executor with its store from the settings.

    Parameters:
        config: all settings.
        handlers: the handlers; by default those of the settings.
        task_log: called with changed tasks; by default the log of the settings' level.

    Raises:
        ConfigError: a handler, a limit, a schedule or a target of notifications in the settings is invalid.
    """
    raise_limit()
    if handlers is None:
        handlers = load_catalogue(
            declared=config.handlers, modules=config.handler_modules, environment=os.environ, limits=config.limits
        )
    identity = _store_identity(config)
    shared = _is_shared(config)
    if config.unknown_handlers == "fail" and not shared:
        handlers = handlers.claiming_unknown()
    settings = executor_settings(config, handlers, os.environ, shared=shared)
    store = _make_store(config, handlers, identity)
    return Executor(
        store,
        pool_size=settings.pool_size,
        drain_timeout_seconds=config.drain_timeout_seconds,
        handlers=handlers.with_resource(partial(_marking, identity, shared=shared)),
        declared=settings.declared,
        targets=settings.targets,
        on_change=TaskLog(config.log_level) if task_log is None else task_log,
        on_skip=log_skip,
        logs=_make_logs(config, store),
    )


def _connections_max(config: Config) -> int:
    """Return the number of connections that leaves enough descriptors for the store and for running tasks."""
    limit = raise_limit()
    bound = connections_bound(config.connections_max, config.pool_size, limit)
    if bound < config.connections_max:
        _log.warning(
            "fewer connections than connections_max: raise the limit on open files (ulimit -n)",
            connections=bound,
            connections_max=config.connections_max,
            open_files_max=limit,
        )
    return bound


def _store_identity(config: Config) -> Callable[[], str]:
    """Return a function that returns the identity of the store, with which processes are marked."""
    match parse_store(config.store):
        case SqliteAddress():
            return lambda: file_identity(database_file(config))
        case ValkeyAddress():
            identity = f"{config.store} {config.queue}"
        case _:
            identity = f"memory:{secrets.token_hex(16)}"
    return lambda: identity


def _is_shared(config: Config) -> bool:
    return isinstance(parse_store(config.store), ValkeyAddress)


@asynccontextmanager
async def _marking(identity: Callable[[], str], *, shared: bool) -> AsyncIterator[None]:
    """Mark processes for a store."""
    if shared:
        # A shared store has no recovery at its start, so a node ends the leftovers of dead nodes of its queue here.
        await end_leftovers([], store=identity)
    with marking_for(identity):
        yield


def _make_store(config: Config, handlers: Catalogue, identity: Callable[[], str]) -> Store:
    address = parse_store(config.store)
    if isinstance(address, ValkeyAddress):
        return _make_shared_store(config, address)
    return LocalStore(
        queue_size=config.queue_size,
        history_records_max=config.history_records_max,
        history_seconds_max=config.history_seconds_max,
        history_failed_seconds_max=config.history_failed_seconds_max,
        history_bytes_max=config.history_bytes_max,
        crashes_max=config.crashes_max,
        schedule_bounds=ScheduleBounds(config.schedules_max),
        journal=_make_journal(config) if isinstance(address, SqliteAddress) else None,
        known_handlers=handlers if config.unknown_handlers == "refuse" else None,
        ends_with_us=handlers.ending_with_us(),
        end_leftovers=partial(end_leftovers, store=identity),
        on_recovered=_log_recovered,
    )


def _make_shared_store(config: Config, address: ValkeyAddress) -> ValkeyStore:
    return make_shared_store(
        address,
        config.queue,
        durability=cast("server_checks.Durability", durability_of(config)),
        on_doubt=lambda doubt: _log.warning("tasks may be lost", reason=doubt),
        on_lease_lost=_log_lost_lease,
        crashes_max=config.crashes_max,
        on_damage=lambda damage: _log.error("the queue is damaged", found=damage),
        queue_size=config.queue_size,
        history_records_max=config.history_records_max,
        history_seconds_max=config.history_seconds_max,
        history_failed_seconds_max=config.history_failed_seconds_max,
        history_bytes_max=config.history_bytes_max,
        lease_seconds=config.lease_seconds,
    )


def _make_logs(config: Config, store: Store) -> LogFiles:
    bounds = LogBounds(config.log_bytes_max, config.logs_bytes_max)
    node = store.node if isinstance(store, ValkeyStore) else ""
    return LogFiles(_logs_directory(config), bounds, node=node, on_trouble=_log_lost_output)


def _logs_directory(config: Config) -> Directory:
    """Return where the logs are: beside the tasks' file, or in a directory of this node, or in a temporary one."""
    given = None if config.logs_dir is None else Path(config.logs_dir)
    match address := parse_store(config.store):
        case SqliteAddress():
            file = database_file(config)
            return KeptDirectory(given or file.with_name(f"{file.name}.logs"))
        case ValkeyAddress():
            # The same queue may be on several servers, such as one for tests.
            queue = f"{config.queue}-{hashlib.sha256(address.shown.encode()).hexdigest()[:8]}"
            return NodeDirectory((given or data_directory(config) / "logs") / queue)
        case _:
            return TemporaryDirectory(given)


def _log_lost_output(trouble: str | None) -> None:
    if trouble is None:
        _log.info("whole logs are kept again")
    else:
        _log.warning("a log is not kept, only the end of its output", reason=trouble)


def _log_lost_lease(tasks: int) -> None:
    _log.error(
        "the lease was lost",
        reason="the lease was not renewed in time: check the network, and functions that block the event loop",
        tasks_cut_off=tasks,
    )


def _make_journal(config: Config) -> SqliteJournal:
    database = Database(database_file(config), durability=cast("DatabaseDurability", durability_of(config)))
    return SqliteJournal(database, on_trouble=_log_trouble)


def _log_recovered(recovered: Recovered) -> None:
    if recovered.lost_transactions:
        lost = counted(recovered.lost_transactions, "is", "are")
        _log.error(
            "tasks may be lost",
            reason=f"of the last changes, {lost} no longer in the file: its -wal file was "
            "truncated or removed, or the file was replaced by an older copy",
        )
    always = {"waiting", "rerun", "ended", "history"}
    found = {name: number for name, number in msgspec.structs.asdict(recovered).items() if number or name in always}
    if any(found.values()):
        (_log.warning if recovered.mended or recovered.set_aside else _log.info)("recovered", **found)


def _log_trouble(trouble: str | None) -> None:
    if trouble is None:
        _log.info("the store can be written again")
    else:
        _log.error("submits are refused", reason=trouble)


def make_serving(config: Config, handlers: Catalogue | None = None) -> Serving:
    """Make an executor and its HTTP API from the settings. No socket and no store is opened.

    Raises:
        ConfigError: a handler, a schedule, a hook or a token is invalid.
    """
    task_log = TaskLog(config.log_level)
    executor = make_executor(config, handlers, task_log=task_log)
    return Serving(executor, create_web(executor, config), task_log, shared=_is_shared(config))


class Prepared(NamedTuple):
    """What a server consists of, before it opens a socket or its store."""

    serving: Serving
    http: Http
    tls: ssl.SSLContext | None


def prepare(config: Config, handlers: Catalogue | None = None) -> Prepared:
    """Check all settings, and make what ``serve`` serves. No socket and no store is opened.

    Raises:
        ConfigError: a handler, a schedule, a hook, a token or a certificate is invalid, or a part is not installed.
    """
    serving = make_serving(config, handlers)
    return Prepared(serving, make_http(serving.web, config), tls_context(config.tls_certfile, config.tls_keyfile))


async def serve(
    config: Config,
    *,
    announce: Callable[[str], None],
    handlers: Catalogue | None = None,
    bound: StopBound | None = None,
    manager: ServiceManager | None = None,
    inherited: socket.socket | None = None,
    load: Callable[[], Config] | None = None,
) -> None:
    """Serve until a signal or ``POST /drain``, then stop without losing a task.

    Parameters:
        config: all settings.
        announce: called with the URL once the server answers requests.
        handlers: the handlers; by default those of the settings.
        bound: the bound on the stop. An owner of the process passes it, and then signals are handled.
        manager: gets reports of the start and of the stop; by default there is no service manager.
        inherited: a listening socket to serve on instead of the host and port of the settings. Its owner keeps it open,
            so the server accepts no connection once the stop has begun: new clients wait for the next server.
        load: reads the settings again for a reload; without it, a reload changes nothing.

    Raises:
        ConfigError: a setting is invalid, or the server would be open to other machines.
        ListenError: the server cannot listen on the address.
        UnusableStoreError: the store of the settings cannot keep tasks.
    """
    serving, speaks, tls = prepare(config, handlers)
    executor = serving.executor
    manager = manager or ServiceManager()
    with _listen_guarded(config, inherited) as listener, unwrapped_unusable_store():
        http = HttpServer(speaks, listener, connections_max=_connections_max(config), tls=tls)
        serving = serving._replace(use_certificate=http.use_certificate)
        check = partial(_check_listener, listener=listener, is_inherited=inherited is not None)
        reloader = Reloader(config, load, serving, os.environ, check=check, manager=manager)
        async with trio.open_nursery() as nursery:
            if bound is not None:
                await _handle_signals(nursery, StopSignals(executor, bound, reloader.on_signal), bound)
            nursery.start_soon(report_drain, executor, bound, manager)
            await nursery.start(executor.run)
            async with trio.open_nursery() as connections:
                await connections.start(http.run)
                if inherited is not None:
                    nursery.start_soon(_leave_new_clients, executor, http)
                nursery.start_soon(manager.run, lambda: is_working(executor.statistics()))
                _report_start(config, http.url, announce, manager)
                await executor.stopped.wait()
                http.stop()
            nursery.cancel_scope.cancel()
    log_stopped(executor.statistics())


async def _handle_signals(nursery: trio.Nursery, signals: StopSignals, bound: StopBound) -> None:
    await nursery.start(bound.run)
    await nursery.start(signals.run)


def _report_start(config: Config, url: str, announce: Callable[[str], None], manager: ServiceManager) -> None:
    url = url if url.startswith("unix:") else url + config.base_path
    announce(url)
    manager.ready(f"serves at {url}")
    _log.info("serving", url=url, pool_size=config.pool_size, queue_size=config.queue_size)


async def _leave_new_clients(executor: Executor, http: HttpServer) -> None:
    """Leave new clients to the next server once the drain has begun."""
    await executor.draining.wait()
    await http.stop_accepting()


def _listen_guarded(config: Config, inherited: socket.socket | None) -> socket.socket:
    """Return a listening socket, unless it would allow anonymous requests from other machines."""
    listener = inherited or listen(config.host, config.port)
    try:
        _check_listener(config, listener=listener, is_inherited=inherited is not None)
    except ConfigError:
        listener.close()
        raise
    return listener


def _check_listener(config: Config, *, listener: socket.socket, is_inherited: bool) -> None:
    """Raise ``ConfigError`` if a server on this socket would allow anonymous requests from other machines."""
    # The check uses the bound address, because a host name may resolve to any address.
    if listener.family != socket.AF_UNIX:
        address = listener.getsockname()[0]
        check_access(config, address, f"the socket on {address}" if is_inherited else f"--host {config.host}")


def check_access(config: Config, address: str, named: str) -> None:
    """Raise ``ConfigError`` if a server on this IP address would allow anonymous requests from other machines.

    Parameters:
        named: what has the address, for the message.
    """
    if config.tokens or config.allow_anonymous or is_loopback(address):
        return
    raise ConfigError(
        f"{named} is reachable from other machines and no token is configured: write the output of "
        "`pexecutor token new NAME --scope submit` into a file and add --config FILE; "
        "or add --allow-anonymous if a proxy or a firewall keeps other clients out"
    )


@contextmanager
def unwrapped_unusable_store() -> Iterator[None]:
    """Raise an ``UnusableStoreError`` alone, without the groups that nurseries wrap it in."""
    try:
        yield
    except ExceptionGroup as group:
        unusable, others = group.split(UnusableStoreError)
        if unusable is None or others is not None:
            raise
        raise first_cause(unusable) from group
