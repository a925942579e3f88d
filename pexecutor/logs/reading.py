"""Read logs: chunks in order, with the gaps between them.

A ``FileLog`` reads the segments of an ``AttemptLog``, also while they are written. A ``TailLog`` has the ends of the
streams that are in a record, for an attempt without files. Both have the same interface.

A reader names a place in the whole output, and gets the chunks from there. If the bytes at that place are gone, it
first gets a ``Missing``. The edges of a gap are cut at the ends of lines (see ``handlers/cuts.py``).
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Final, NamedTuple, Protocol

import trio

from ..handlers.cuts import LINE_BYTES_MAX, dropped_after_cut, kept_before_cut
from ..handlers.output import STREAMS, Output
from .attempt_log import AttemptLog, Segment
from .segments import HEADER_BYTES, Chunk, SegmentPlace, read

READ_BYTES: Final = 256 * 1024
"""How many bytes are read at a time."""

# Not Trio's default limiter, so that handlers which use up its threads cannot delay readers.
_reading = trio.CapacityLimiter(8)


class Missing(NamedTuple):
    """Bytes of the output that are not kept: from ``begin`` up to, but not including, ``end``."""

    begin: int
    end: int


Part = list[Chunk] | Missing


class ReadableLog(Protocol):
    """The output of an attempt, as far as it is kept."""

    @property
    def total(self) -> int:
        """How many bytes the whole output has."""

    async def gap(self) -> Missing | None:
        """Return the part that is not kept."""

    async def read(self, begin: int, end: int) -> Part | None:
        """Return the next chunks between two places, or the gap that begins there; ``None`` if there is nothing."""


class FileLog:
    """Reads the files of an attempt.

    Parameters:
        log: the log of the attempt.
    """

    def __init__(self, log: AttemptLog) -> None:
        self._log = log
        self._place = -1, SegmentPlace(0, 0)  # the number of the segment that was read last, and where that ended
        self._cuts: tuple[Missing, Missing] | None = None  # the last gap, and the same one with its edges cut

    @property
    def total(self) -> int:
        return self._log.total

    async def gap(self) -> Missing | None:
        """Return the part that is not kept, cut at the ends of lines; also what follows a log that was dropped."""
        log = self._log
        await log.measure()
        for _ in range(len(log.segments) + 1):  # a segment may be deleted during the await
            segments = log.segments
            if not segments:
                return Missing(0, log.total) if log.total else None
            following = next((two for one, two in pairwise(segments) if one.end != two.begin), None)
            if following is None:
                return None
            gap = Missing(segments[segments.index(following) - 1].end, following.begin)
            if self._cuts is None or self._cuts[0] != gap:
                self._cuts = gap, await self._cut(gap)
        return self._cuts[1] if self._cuts is not None else None

    async def _cut(self, gap: Missing) -> Missing:
        """Widen a gap so that it begins and ends at the end of a line."""
        before = b"".join([chunk.data for chunk in await self._some(max(0, gap.begin - LINE_BYTES_MAX), gap.begin)])
        after = b"".join([chunk.data for chunk in await self._some(gap.end, gap.end + LINE_BYTES_MAX)])
        return Missing(
            gap.begin - len(before) + kept_before_cut(before), gap.end + dropped_after_cut(after[:LINE_BYTES_MAX])
        )

    async def _some(self, begin: int, end: int) -> list[Chunk]:
        """Return the chunks between two places within one segment; none if the segment is gone."""
        if (segment := self._segment_at(begin)) is None:
            return []
        chunks, _ = await self._read(segment, SegmentPlace(HEADER_BYTES, segment.begin), begin, end - begin)
        return chunks

    def _segment_at(self, place: int) -> Segment | None:
        return next((one for one in self._log.segments if one.begin <= place < one.end), None)

    async def _read(
        self, segment: Segment, place: SegmentPlace, wanted: int, bytes_max: int
    ) -> tuple[list[Chunk], SegmentPlace]:
        await self._log.written()
        try:
            return await trio.to_thread.run_sync(
                partial(read, self._log.path(segment), place, wanted, bytes_max),
                abandon_on_cancel=True,
                limiter=_reading,
            )
        except OSError:  # the segment was deleted in the meantime
            return [], place

    async def read(self, begin: int, end: int) -> Part | None:
        """Return the next chunks between two places, or the gap that begins there; ``None`` if there is nothing."""
        gap = await self.gap()
        if begin >= end:
            return None
        if gap is not None and gap.begin <= begin < gap.end:
            return Missing(begin, min(gap.end, end))
        if (segment := self._segment_at(begin)) is None:
            return None
        limit = end if gap is None or gap.end <= begin else min(end, gap.begin)
        chunks, place = await self._read(segment, self._place_in(segment, begin), begin, min(READ_BYTES, limit - begin))
        self._place = segment.number, place
        chunks = within(chunks, limit)
        if not chunks and segment not in self._log.segments:
            return await self.read(begin, end)  # the log went on meanwhile, and the gap has grown
        if not chunks:  # the file is shorter than it should be, or gone
            return Missing(begin, max(begin + 1, min(segment.end, end)))
        return chunks

    def _place_in(self, segment: Segment, begin: int) -> SegmentPlace:
        """Return where to begin to read: where the last read ended, or else at the beginning of the segment."""
        number, place = self._place
        if number == segment.number and place.offset <= begin:
            return place
        return SegmentPlace(HEADER_BYTES, segment.begin)


class TailLog:
    """The ends of the streams that a record has. The order of the streams among each other is not known.

    Parameters:
        output: the output of the attempt in the record.
    """

    def __init__(self, output: Output) -> None:
        self._chunks: list[Chunk] = []
        tails = [(stream, *_tail(output, stream)) for stream in STREAMS]
        self.total: int = sum(seen for _, _, seen in tails)
        at = self.total - sum(len(kept) for _, kept, _ in tails)
        self._gap = Missing(0, at) if at else None
        for stream, kept, _ in tails:
            if kept:
                self._chunks.append(Chunk(at, None, stream, kept))
                at += len(kept)

    async def gap(self) -> Missing | None:
        """Return the part that is not kept: the beginning."""
        return self._gap

    async def read(self, begin: int, end: int) -> Part | None:
        """Return the next chunks between two places, or the gap that begins there; ``None`` if there is nothing."""
        if begin < end and self._gap is not None and begin < self._gap.end:
            return Missing(begin, min(self._gap.end, end))
        return within([_from(chunk, begin) for chunk in self._chunks], end) or None


def _tail(output: Output, stream: str) -> tuple[bytes, int]:
    """Return the end of a stream that a record has, cut at the end of a line, and the length of the whole stream."""
    kept, seen = output.kept(stream), output.seen(stream)
    return kept[dropped_after_cut(kept[:LINE_BYTES_MAX]) :] if len(kept) < seen else kept, seen


def _from(chunk: Chunk, begin: int) -> Chunk:
    skipped = max(0, begin - chunk.offset)
    return chunk._replace(offset=chunk.offset + skipped, data=chunk.data[skipped:]) if skipped else chunk


def within(chunks: list[Chunk], end: int) -> list[Chunk]:
    """Return the part of chunks before a place; empty chunks are left out."""
    cut = [chunk._replace(data=chunk.data[: max(0, end - chunk.offset)]) for chunk in chunks]
    return [chunk for chunk in cut if chunk.data]


def end_of(part: Part) -> int:
    """Return the place behind a part."""
    return part.end if isinstance(part, Missing) else part[-1].offset + len(part[-1].data)
