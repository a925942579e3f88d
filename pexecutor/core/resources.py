"""``HandlerResources``: keeps the resources of handlers open, such as an HTTP client, while an attempt may need them.

Each resource is open in a Trio task of its own. So it can be opened and closed at any time, in any order. A reload
opens the resources that are new before any attempt can use them. A resource that the new handlers do not have is closed
once the attempts of the old handlers have ended.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import trio

from ..handlers.catalogue import Resource


class HandlerResources:
    """The open resources of handlers. They can be opened inside ``kept``."""

    def __init__(self) -> None:
        self._nursery: trio.Nursery | None = None
        # Resources that are open or being closed. acquire() adds, _keep() removes.
        self._open: dict[Resource, _Open] = {}

    @asynccontextmanager
    async def kept(self, nursery: trio.Nursery, resources: Iterable[Resource]) -> AsyncIterator[None]:
        """Open resources, and keep them and those opened later open until the end of the context.

        Parameters:
            nursery: runs the Trio tasks that keep resources open. If it is cancelled, resources stay open until the end
                of the context, because attempts that are cancelled may still need them.
            resources: the resources of the first handlers.
        """
        self._nursery = nursery
        try:
            await self.acquire(resources)
            yield
        finally:
            for each in self._open.values():
                each.unused.set()

    async def acquire(self, resources: Iterable[Resource]) -> None:
        """Open resources, or note one more use of those that are open. If one fails, the others are released.

        Raises what the resource raises.
        """
        acquired: list[Resource] = []
        try:
            for resource in resources:
                await self._acquire(resource)
                acquired.append(resource)
        except BaseException:
            self.release(acquired)
            raise

    async def _acquire(self, resource: Resource) -> None:
        assert self._nursery is not None, "inside kept()"
        found = self._open.get(resource)
        if found is not None and found.unused.is_set():
            await found.closed.wait()  # a resource may not be open twice
            found = None
        if found is None:
            await self._nursery.start(self._keep, resource)
        else:
            found.uses += 1

    def release(self, resources: Iterable[Resource]) -> None:
        """Note one use less of resources; a resource without a use is closed."""
        for resource in resources:
            if (found := self._open.get(resource)) is not None:  # otherwise the executor has ended
                found.uses -= 1
                if not found.uses:
                    found.unused.set()

    async def release_after(self, ended: trio.Event, resources: Iterable[Resource]) -> None:
        """Release resources once an event is set."""
        await ended.wait()
        self.release(resources)

    async def _keep(self, resource: Resource, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep one resource open until nothing uses it."""
        entry = _Open()
        try:
            with trio.CancelScope() as scope:
                async with resource():
                    self._open[resource] = entry
                    task_status.started()
                    await trio.lowlevel.checkpoint_if_cancelled()  # the caller of start() was cancelled
                    scope.shield = True  # outside of the resource, so that its own Trio tasks can still fail
                    await entry.unused.wait()
                    scope.shield = False
        finally:
            if self._open.get(resource) is entry:
                del self._open[resource]
            entry.closed.set()


class _Open:
    """An open resource, and how many catalogues use it."""

    def __init__(self) -> None:
        self.uses = 1
        self.unused = trio.Event()
        self.closed = trio.Event()
