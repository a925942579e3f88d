"""``AsyncLogLines``: iterate over the output of a task, over lost connections and restarts of the server."""

from __future__ import annotations

from collections import deque
from types import TracebackType
from typing import Self

from ...errors import ForeignReplyError, PexecutorError
from ...limits.defaults import CLIENT_PAUSE_SECONDS
from .. import requests
from ..log_stream import LogPlace, LogRow, cut
from ..records import TaskRecord
from ..repeating import Repeats
from . import timing
from .lines import AsyncLines
from .requester import AsyncRequester


class AsyncLogLines:
    """The output of a task, line by line. Each byte comes once, also after a lost connection.

    Use it as a context manager if you may stop before the end.
    """

    def __init__(self, requester: AsyncRequester, task_id: str, *, follow: bool, attempt: int | None) -> None:
        self._requester = requester
        self._task_id = task_id
        self._follow = follow
        self._follows_all = follow and attempt is None
        # Owned by _read(): the attempt that is read, the place in its log, the rows at hand, and how to go on.
        self._attempt = attempt
        self._place = LogPlace()
        self._rows: deque[LogRow] = deque()
        self._ended = False
        self._repeats: Repeats | None = None
        self._lines = AsyncLines(requester.http)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> LogRow:
        while not self._rows:
            if self._ended:
                raise StopAsyncIteration
            await self._read()
        return self._rows.popleft()

    async def aclose(self) -> None:
        """Stop reading."""
        self._ended = True
        self._rows.clear()
        await self._lines.aclose()

    async def _read(self) -> None:
        if self._follows_all and self._attempt is None:
            record = await self._record()
            self._attempt = len(record.attempts) + (not record.is_finished)
            self._ended = not self._attempt
            return
        request = requests.log(self._task_id, attempt=self._attempt, follow=self._follow)
        self._repeats = self._repeats or self._requester.repeats(request)
        try:
            if not self._lines.is_open:
                await self._lines.open(request)
            lines = await self._lines.read()
            self._rows.extend(cut(*taken) for line in lines or () if line and (taken := self._place.take(line)))
        except ForeignReplyError:
            await self.aclose()
            raise
        except PexecutorError as error:
            await self._requester.pause(request, self._repeats, error)
            return
        self._repeats = None
        if lines is None:
            await self._go_on()

    async def _go_on(self) -> None:
        """Find out what comes after the end of a log."""
        if not self._follow or self._attempt is None:
            self._ended = True
            return
        record = await self._record()
        has_ended = record.is_finished or len(record.attempts) >= self._attempt
        if not has_ended:
            await timing.sleep(CLIENT_PAUSE_SECONDS)  # the log ended before the attempt, as at the stop of a server
        elif self._follows_all and not (record.is_finished and self._attempt >= len(record.attempts)):
            self._attempt += 1
            self._place = LogPlace()
        else:
            self._ended = True

    async def _record(self) -> TaskRecord:
        return await self._requester.ask(requests.show(self._task_id), TaskRecord)
