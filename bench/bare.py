"""Measure upper limits of the machine: ``python -m bench.bare channel ITEMS`` or ``... sqlite ROWS FILE``.

``channel`` passes items one by one through a bounded memory channel between two Trio tasks. ``sqlite`` inserts rows as
short as those of tasks, in transactions of 1,000 rows, and flushes each transaction to the disk.
"""

from __future__ import annotations

import sqlite3
import sys
import time
from typing import Final

import msgspec
import trio

from .results import Run

BATCH_ROWS: Final = 1000
CHANNEL_ITEMS: Final = 64


async def pass_through_channel(items: int) -> Run:
    """Pass `items` items through a memory channel and time it."""
    send, receive = trio.open_memory_channel[int](CHANNEL_ITEMS)
    received = 0

    async def give() -> None:
        async with send:
            for item in range(items):
                await send.send(item)

    begin = time.perf_counter()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(give)
        async for _ in receive:
            received += 1
    return Run(items, received, {"through": items / (time.perf_counter() - begin)})


def insert_rows(rows: int, file: str) -> Run:
    """Insert `rows` rows in key order and time it."""
    database = sqlite3.connect(file, isolation_level=None)
    database.executescript(
        "pragma journal_mode = wal; pragma synchronous = full;"
        "create table task (serial integer primary key, name text unique, priority integer)"
    )
    begin = time.perf_counter()
    for first in range(0, rows, BATCH_ROWS):
        database.execute("begin immediate")
        batch = [(number, f"task-{number:08}", 0) for number in range(first, min(first + BATCH_ROWS, rows))]
        database.executemany("insert into task values (?, ?, ?)", batch)
        database.execute("commit")
    seconds = time.perf_counter() - begin
    [inserted] = database.execute("select count(*) from task").fetchone()
    database.close()
    return Run(rows, inserted, {"enqueued": rows / seconds})


def main() -> None:
    """Run the requested measurement and print it as JSON."""
    match sys.argv[1:]:
        case ["channel", items]:
            run = trio.run(pass_through_channel, int(items))
        case ["sqlite", rows, file]:
            run = insert_rows(int(rows), file)
        case _:
            raise SystemExit(__doc__)
    sys.stdout.write(msgspec.json.encode(run).decode() + "\n")


if __name__ == "__main__":
    main()
