"""``ExecutorSettings``: the settings that a running executor can exchange, and ``CurrentSettings``, their one owner."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from ..handlers import Catalogue
from ..notifications.settings import Target
from ..schedules.tables import DeclaredSchedules


class ExecutorSettings(msgspec.Struct, frozen=True):
    """The settings of an executor that ``Executor.apply_settings`` exchanges, all of them at once.

    Parameters:
        pool_size: how many tasks run at once.
        handlers: the handlers that run tasks, by name, with their limits.
        declared: the schedules of a settings file; ``None`` to leave the stored schedules as they are.
        targets: the receivers of notifications, by name.
    """

    pool_size: int
    handlers: Catalogue
    declared: DeclaredSchedules | None
    targets: Mapping[str, Target]

    def __post_init__(self) -> None:
        if self.pool_size < 1:
            raise ValueError("pool_size must be at least 1")


class CurrentSettings:
    """The settings in effect. Every part of an executor reads them here, so that a change reaches all parts at once.

    Parameters:
        settings: the settings of the start.
    """

    def __init__(self, settings: ExecutorSettings) -> None:
        # Only SettingsChanges replaces it, and Executor.__init__ makes it.
        self.now: ExecutorSettings = settings

    @property
    def handlers(self) -> Catalogue:
        """Return the handlers in effect."""
        return self.now.handlers
