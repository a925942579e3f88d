"""The form of the files: what is in them, and the functions that read and write them, all called in threads.

The output of an attempt is a sequence of *chunks*, in the order in which they arrived from all streams. The chunks are
in files that only grow, the *segments* of the log. A segment is named by task, attempt and number::

    a3f09c-42.1.0.log       the beginning of the output of attempt 1
    a3f09c-42.1.1.log       what follows; the output continues from segment to segment

The first segment is the *head*: it stays. When the output goes on, at most two more segments are kept, each with half
of the remaining room. Once both are full, the older one is deleted and a new one begins. So at least the last half of
that room is always kept, nothing is ever moved or overwritten, and what is missing is one *gap* between the head and
the end.

A segment begins with a header: a mark, the time at which the task was submitted (a serial may be used again after a
backup was restored, but not with the same time), and the place of its first byte in the whole output. Frames follow,
each with the time in seconds since 1970, the number of the stream, the length, and the bytes of a chunk. A crash may
cut the last frame off; then the bytes that are there are read.

Road not taken: one file with a ring. It would overwrite its beginning while readers read it, and a crash in the middle
of a turn would need a repair.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from ..handlers.output import STREAMS
from ..stores.sqlite.file_lock import PRIVATE
from ..task import format_task_id, parse_task_id

FRAME_DATA_MAX: Final = 64 * 1024
"""The longest chunk. A longer one is split."""

PRIVATE_DIRECTORY: Final = 0o700

_MARK: Final = b"PEXLOG1\n"
_HEADER: Final = struct.Struct("<8sdQ")
_FRAME: Final = struct.Struct("<dBI")
HEADER_BYTES: Final = _HEADER.size
FRAME_BYTES: Final = _FRAME.size

_READ_BYTES: Final = 4 * (FRAME_DATA_MAX + FRAME_BYTES)
_NAME: Final = re.compile(r"([0-9a-f]{6}-\d+)\.(\d+)\.(\d+)\.log")


class Chunk(NamedTuple):
    """Some bytes of the output that arrived together.

    Parameters:
        offset: the place of the first byte in the whole output.
        time: when the bytes arrived, in seconds since 1970; ``None`` if unknown.
        stream: the name of the stream.
        data: the bytes.
    """

    offset: int
    time: float | None
    stream: str
    data: bytes


class SegmentPlace(NamedTuple):
    """A place between two frames of a segment: in the file, and in the whole output."""

    position: int
    offset: int


class FoundSegment(NamedTuple):
    """A segment of an earlier process."""

    serial: int
    attempt: int
    number: int
    submitted_at: float
    begin: int
    size: int
    changed_at: float


def segment_name(serial: int, attempt: int, number: int) -> str:
    """Return the name of the file of a segment."""
    return f"{format_task_id(serial)}.{attempt}.{number}.log"


def header(submitted_at: float, begin: int) -> bytes:
    """Return the header of a segment."""
    return _HEADER.pack(_MARK, submitted_at, begin)


def frame(time: float, stream: int, data: bytes) -> bytes:
    """Return a chunk as it is written."""
    return _FRAME.pack(time, stream, len(data)) + data


def append(path: Path, parts: Sequence[bytes], *, creates: bool) -> None:
    """Append to a file. Raises ``OSError``.

    Parameters:
        creates: whether the file begins with these parts; a file with this name that is left over is emptied.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | (os.O_CREAT | os.O_TRUNC if creates else 0)
    try:
        descriptor = os.open(path, flags, PRIVATE)
    except FileNotFoundError:
        if not creates:
            raise
        path.parent.mkdir(PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        descriptor = os.open(path, flags, PRIVATE)
    try:
        rest = memoryview(b"".join(parts))
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    finally:
        os.close(descriptor)


def remove(paths: Iterable[Path]) -> None:
    """Delete files. One that cannot be deleted is removed as an orphan at a later start."""
    for path in paths:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def read(path: Path, place: SegmentPlace, wanted: int, bytes_max: int) -> tuple[list[Chunk], SegmentPlace]:
    """Read chunks of a segment, and return them with the place behind them. No chunks means the end of the segment.

    Parameters:
        place: where to begin.
        wanted: the place in the output before which everything is skipped.
        bytes_max: how many bytes to read at least, unless the segment ends; at most one chunk more.

    Raises:
        OSError: the file is gone, or cannot be read.
    """
    found: list[Chunk] = []
    bytes_read = 0
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        position, offset = place
        while bytes_read < bytes_max:
            block = os.pread(descriptor, _READ_BYTES, position)
            used = 0
            for begin, time, stream, data in _frames(block, is_last=len(block) < _READ_BYTES):
                used = begin + FRAME_BYTES + len(data)
                if offset + len(data) > wanted:
                    skipped = max(0, wanted - offset)
                    found.append(Chunk(offset + skipped, time, STREAMS[stream], data[skipped:]))
                    bytes_read += len(data)
                offset += len(data)
            position += used
            if not used:
                break
        return found, SegmentPlace(position, offset)
    finally:
        os.close(descriptor)


def _frames(block: bytes, *, is_last: bool) -> Iterator[tuple[int, float, int, bytes]]:
    """Yield the frames of a block: where each begins, and its parts. The last frame of a file may be cut off."""
    at = 0
    while at + FRAME_BYTES < len(block):
        time, stream, length = _FRAME.unpack_from(block, at)
        if stream >= len(STREAMS) or not 0 < length <= FRAME_DATA_MAX:
            return  # damaged
        data = block[at + FRAME_BYTES : at + FRAME_BYTES + length]
        if len(data) < length and not is_last:
            return
        yield at, time, stream, data
        at += FRAME_BYTES + length


def fault_of(paths: Iterable[Path]) -> str:
    """Return why files cannot be read, in the words of the system; empty if they can be."""
    for path in paths:
        try:
            os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            return error.strerror or "unknown error"
    return ""


def length_of(path: Path, begin: int) -> int:
    """Return how many bytes of output are in a segment; 0 if it cannot be read."""
    place = SegmentPlace(HEADER_BYTES, begin)
    with suppress(OSError):
        while True:
            found, place = read(path, place, begin, _READ_BYTES)
            if not found:
                break
    return place.offset - begin


def find_segments(directory: Path) -> tuple[list[FoundSegment], list[Path]]:
    """Return the segments in a directory, and the files that look like segments but are not."""
    found: list[FoundSegment] = []
    invalid: list[Path] = []
    try:
        entries = list(os.scandir(directory))
    except FileNotFoundError:
        return [], []
    for entry in entries:
        if (match := _NAME.fullmatch(entry.name)) is None:
            continue
        path, serial = directory / entry.name, parse_task_id(match[1])
        try:
            head, state = _read_header(path), entry.stat(follow_symlinks=False)
        except (OSError, ValueError):
            invalid.append(path)
            continue
        if serial is None:
            invalid.append(path)
        else:
            submitted_at, begin = head
            found.append(
                FoundSegment(serial, int(match[2]), int(match[3]), submitted_at, begin, state.st_size, state.st_mtime)
            )
    return found, invalid


def _read_header(path: Path) -> tuple[float, int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        block = os.read(descriptor, HEADER_BYTES)
    finally:
        os.close(descriptor)
    if len(block) < HEADER_BYTES:
        raise ValueError("the header is cut off")
    mark, submitted_at, begin = _HEADER.unpack(block)
    if mark != _MARK:
        raise ValueError("not a segment")
    return submitted_at, begin
