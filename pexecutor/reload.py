"""``Reloader``: read the settings again while the server runs, and apply them without a restart.

A reload is all or nothing: everything is read, made and checked before anything is changed. A setting that cannot
change while the server runs keeps its value, and is reported until the next restart.

``RELOADED`` names the settings that a reload applies. ``compare`` says what has changed, and never shows a value,
because it may be a secret.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import structlog
import trio

from .config import Config
from .core.executor import Executor
from .core.settings import ExecutorSettings
from .errors import ConfigError, NotServingError, PexecutorError, StoreUnavailableError, counted
from .handlers import Catalogue, reload_catalogue
from .log import TaskLog, set_log_level
from .notifications.settings import load_targets
from .observe.events import Reloaded, SettingChange
from .process.service_manager import ServiceManager
from .schedules.tables import DeclaredSchedules, fields_given, load_tables
from .web import Web
from .web.serving.tls import tls_context

RELOADED: Final = frozenset(
    {"allow_anonymous", "allowed_hosts", "handlers", "hooks", "limits", "log_level", "notify", "pool_size"}
    | {"schedules", "tls_certfile", "tls_keyfile", "tokens"}
)
"""The settings that a reload applies. All others need a restart."""

LOAD_SECONDS_MAX: Final = 20.0
"""How long reading the settings may take; a reload that waits holds up all later ones."""

APPLY_SECONDS_MAX: Final = 30.0
"""How long a reload that has begun to change something goes on although its caller is gone."""

_CERTIFICATE: Final = ("tls_certfile", "tls_keyfile")

_log = structlog.get_logger()


def compare(old: Config, new: Config) -> Reloaded:
    """Return which settings differ: those that a reload applies, and those that need a restart."""
    names = [name for name in Config.__struct_fields__ if getattr(old, name) != getattr(new, name)]
    changed = [_change(name, getattr(old, name), getattr(new, name)) for name in names if name in RELOADED]
    return Reloaded(tuple(changed), tuple(name for name in names if name not in RELOADED))


def _change(name: str, old: Any, new: Any) -> SettingChange:
    if not isinstance(old, Mapping):
        return SettingChange(name)
    return SettingChange(
        name,
        added=tuple(sorted(new.keys() - old.keys())),
        changed=tuple(sorted(key for key in old.keys() & new.keys() if old[key] != new[key])),
        removed=tuple(sorted(old.keys() - new.keys())),
    )


def executor_settings(
    config: Config, handlers: Catalogue, environment: Mapping[str, str], *, shared: bool
) -> ExecutorSettings:
    """Return the settings of an executor.

    Parameters:
        config: all settings.
        handlers: the handlers that they declare.
        environment: the source of secrets.
        shared: whether other servers use the same store.

    Raises:
        ConfigError: a schedule or a target of notifications is invalid.
    """
    declared = load_tables(config.schedules, handlers.check, time.time())
    return ExecutorSettings(
        pool_size=config.pool_size,
        handlers=handlers,
        declared=DeclaredSchedules(declared, given=fields_given(config.schedules), shared=shared),
        targets=load_targets(config.notify, handlers.names(), environment),
    )


class Certificate(NamedTuple):
    """The certificate of a server, and what tells it from a later one in the same files."""

    context: ssl.SSLContext | None
    digests: tuple[str, ...]


def load_certificate(config: Config) -> Certificate:
    """Load the certificate that the settings name.

    Raises:
        ConfigError: the files cannot be used.
    """
    context = tls_context(config.tls_certfile, config.tls_keyfile)
    named = [getattr(config, name) for name in _CERTIFICATE]
    return Certificate(context, tuple("" if file is None else _digest(file) for file in named))


def _digest(file: str) -> str:
    try:
        return sha256(Path(file).read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}") from error


class Serving(NamedTuple):
    """What a reload changes.

    Parameters:
        executor: the executor.
        web: its HTTP API.
        task_log: the log of its tasks.
        use_certificate: makes new connections use a certificate; ``None`` if another program does TLS.
        shared: whether other servers use the same store.
    """

    executor: Executor
    web: Web
    task_log: TaskLog
    shared: bool
    use_certificate: Callable[[ssl.SSLContext], None] | None = None


class _Checked(NamedTuple):
    """Settings that have been checked, and what differs from those in effect."""

    config: Config
    executor: ExecutorSettings
    web: Callable[[], None]
    certificate: Certificate
    difference: Reloaded


class Reloader:
    """Reads the settings of a server again, and applies them.

    Parameters:
        config: the settings of the start.
        load: reads the settings again, from the same sources; ``None`` if nothing can be read again.
        serving: what a reload changes.
        environment: the source of secrets, as at the start.
        manager: gets reports of the begin and the end of a reload.
        check: raises ``ConfigError`` if a server with these settings must not serve, such as one that would be open
            to other machines.
    """

    def __init__(
        self,
        config: Config,
        load: Callable[[], Config] | None,
        serving: Serving,
        environment: Mapping[str, str],
        *,
        manager: ServiceManager | None = None,
        check: Callable[[Config], None] = lambda _: None,
    ) -> None:
        # Owned by reload(). A setting that needs a restart keeps its value from the start.
        self._config = config
        self._certificate = load_certificate(config)
        self._load = load or (lambda: config)
        self._serving = serving
        self._environment = environment
        self._manager = manager or ServiceManager()
        self._check_whole = check
        self._reloading = trio.Lock()
        serving.web.reload_answers.use(self.reload)

    async def reload(self) -> Reloaded:
        """Read the settings again and apply them: all of them, or none. A second call waits for the first one.

        Raises:
            ConfigError: the settings are invalid; nothing was changed.
            NotServingError: the server is draining; nothing was changed.
        """
        async with self._reloading:
            if self._serving.executor.draining.is_set():
                raise NotServingError
            with self._reported():
                checked = self._checked(*await self._loaded())
                await self._check_number_of_schedules(checked.executor)
                await self._apply(checked)
            _log_reload(checked.difference)
            return checked.difference

    async def _loaded(self) -> tuple[Config, Certificate]:
        """Read the settings and the certificate again; reading a named pipe or a lost network drive may never end."""

        def load() -> tuple[Config, Certificate]:
            config = self._load()
            return config, load_certificate(config)

        try:
            with trio.fail_after(LOAD_SECONDS_MAX):
                return await trio.to_thread.run_sync(load, abandon_on_cancel=True)
        except trio.TooSlowError:
            raise ConfigError(
                f"reading the settings took more than {LOAD_SECONDS_MAX:.0f} s: check that the files are regular files"
            ) from None

    @contextmanager
    def _reported(self) -> Iterator[None]:
        """Report the reload in the body to the service manager, and a fault to the log."""
        self._manager.reloading()
        try:
            yield
        except ConfigError as error:
            _log.error("settings not reloaded", reason=str(error))
            raise
        finally:
            if not self._serving.executor.draining.is_set():
                self._manager.ready("serves; the log has the result of the last reload")

    async def on_signal(self) -> None:
        """Reload because of a signal: the log has the result."""
        try:
            await self.reload()
        except ConfigError:
            pass  # reload() has logged it
        except PexecutorError as error:
            _log.warning("settings not reloaded", reason=str(error))
        except Exception:  # a signal must not end the server
            _log.exception("settings not reloaded")

    def _checked(self, found: Config, certificate: Certificate) -> _Checked:
        """Make and check everything that the settings declare, without changing anything."""
        applied = {name: getattr(found, name) for name in RELOADED}
        config, serving = msgspec.structs.replace(self._config, **applied), self._serving
        handlers = reload_catalogue(
            serving.executor.handlers,
            declared=config.handlers,
            environment=self._environment,
            limits=config.limits,
        )
        settings = executor_settings(config, handlers, self._environment, shared=serving.shared)
        serving.executor.check_settings(settings)
        web = serving.web.checked(config, handlers, self._environment)
        self._check_whole(config)
        return _Checked(config, settings, web, certificate, self._difference(found, certificate))

    async def _check_number_of_schedules(self, settings: ExecutorSettings) -> None:
        """Raise ``ConfigError`` if the store has no room for the schedules; without the store, it has the last word."""
        schedules, maximum = self._serving.executor.schedules, self._config.schedules_max
        if settings.declared is None:
            return
        with suppress(StoreUnavailableError):
            number = await settings.declared.number_with_stored(schedules)
            if number > max(maximum, self._serving.executor.statistics().store.schedules):
                raise ConfigError(
                    f"there would be {counted(number, 'schedule')}, and the store keeps at most {maximum} "
                    "(`schedules_max`): remove some"
                )

    def _difference(self, found: Config, certificate: Certificate) -> Reloaded:
        """Return what differs from the settings in effect. A renewed certificate in the same file is a change, too."""
        difference = compare(self._config, found)
        pairs = zip(_CERTIFICATE, self._certificate.digests, certificate.digests, strict=True)
        renewed = {name for name, old, new in pairs if old != new} | {
            change.setting for change in difference.changed if change.setting in _CERTIFICATE
        }
        changed = [change for change in difference.changed if change.setting not in renewed]
        names = tuple(sorted(renewed))
        contexts = self._certificate.context, certificate.context
        if self._serving.use_certificate is None or None in contexts:
            return Reloaded(tuple(changed), (*difference.restart_needed, *names))
        return Reloaded((*changed, *map(SettingChange, names)), difference.restart_needed)

    async def _apply(self, checked: _Checked) -> None:
        """Apply checked settings. Only the first step can fail, and then it changes nothing."""
        await self._apply_to_executor(checked.executor)
        serving = self._serving
        checked.web()
        set_log_level(checked.config.log_level)
        serving.task_log.use_level(checked.config.log_level)
        new = checked.certificate.context
        if serving.use_certificate is not None and new is not None and self._certificate.context is not None:
            serving.use_certificate(new)
            self._certificate = checked.certificate
        self._config = checked.config
        serving.executor.events.put(checked.difference)

    async def _apply_to_executor(self, settings: ExecutorSettings) -> None:
        executor = self._serving.executor
        # The caller may leave now, and its own token may be removed by this reload.
        with trio.move_on_after(APPLY_SECONDS_MAX, shield=True):
            await executor.apply_settings(settings)
        # An executor with the new settings stores their numbers and schedules as soon as its store is available.
        if executor.settings is not settings:
            raise ConfigError(
                f"the handlers were not ready after {APPLY_SECONDS_MAX:.0f} s, and nothing was changed: try again"
            )


def _log_reload(difference: Reloaded) -> None:
    log = _log.warning if difference.restart_needed else _log.info
    changed = [change.text() for change in difference.changed]
    log("settings reloaded", changed=changed, restart_needed=list(difference.restart_needed))
