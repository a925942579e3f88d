"""Tests of log files: what is kept of an output, within which bounds, and when it goes."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
import trio.lowlevel
import trio.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pexecutor.logs.attempt_log import AttemptLog
from pexecutor.logs.bounds import LogBounds
from pexecutor.logs.directory import KeptDirectory, NodeDirectory, TemporaryDirectory
from pexecutor.logs.files import LogFiles, LogStatistics
from pexecutor.logs.reading import FileLog, Missing
from pexecutor.logs.segments import FRAME_BYTES, HEADER_BYTES

from .conftest import OpenLogs, Records, files, finished, kept, running

STDOUT, STDERR, LOG = range(3)


async def written(logs: LogFiles, number: int, data: bytes, *, ended: bool = True) -> AttemptLog:
    """Print bytes in an attempt of a task."""
    task = running(number)
    log = logs.open(task)
    log.append(STDOUT, data)
    if ended:
        logs.end(task)
        logs.note([finished(task)])
    await logs.writer.until_done()
    return log


class TestOneLog:
    async def test_it_has_the_bytes_of_all_streams_in_the_order_of_their_arrival(self, open_logs: OpenLogs) -> None:
        async with open_logs() as logs:
            log = logs.open(running(1))
            log.append(STDOUT, b"one\n")
            log.append(STDERR, b"two\n")
            log.append(STDOUT, b"three\n")

            assert await kept(log) == (b"one\ntwo\nthree\n", [])
            part = await FileLog(log).read(0, log.total)
        assert isinstance(part, list)
        assert [(chunk.offset, chunk.stream) for chunk in part] == [(0, "stdout"), (4, "stderr"), (8, "stdout")]

    async def test_without_output_there_is_no_file_and_no_log(self, open_logs: OpenLogs) -> None:
        async with open_logs() as logs:
            log = logs.open(running(1))
            log.append(STDOUT, b"")
            await logs.writer.until_done()

            assert not logs.directory.exists()
            assert logs.statistics().logs == 0
            assert logs.writing == {}

    async def test_the_files_are_private(self, open_logs: OpenLogs) -> None:
        async with open_logs() as logs:
            await written(logs, 1, b"secret")

            [file] = logs.directory.iterdir()
            assert (logs.directory.stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (0o700, 0o600)

    async def test_threads_print_in_order(self, open_logs: OpenLogs) -> None:
        async with open_logs() as logs:
            log = logs.open(running(1))

            def print_lines() -> None:
                for number in range(1000):
                    log.append(LOG, b"%d\n" % number)

            await trio.to_thread.run_sync(print_lines)

            assert await kept(log) == (b"".join(b"%d\n" % number for number in range(1000)), [])

    async def test_a_rerun_of_an_attempt_replaces_its_log(self, open_logs: OpenLogs) -> None:
        async with open_logs() as logs:
            await written(logs, 1, b"before the release")
            log = await written(logs, 1, b"after it")

            assert await kept(log) == (b"after it", [])
            assert len(files(logs)) == 1

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(pieces=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 1500)), max_size=40))
    def test_of_a_long_output_the_beginning_and_the_end_are_kept(
        self, pieces: list[tuple[int, int]], tmp_path: Path
    ) -> None:
        whole = b"".join(b"%09d\n" % number for number in range(6000))
        trio.run(self._check_long_output, pieces, whole, tmp_path / os.urandom(8).hex())

    async def _check_long_output(self, pieces: list[tuple[int, int]], whole: bytes, directory: Path) -> None:
        bounds = LogBounds(log_bytes_max=6000)
        logs = LogFiles(KeptDirectory(directory), bounds)
        async with logs.opened(Records()):
            log, at = logs.open(running(1)), 0
            for stream, size in pieces:
                log.append(stream, whole[at : at + size])
                at += size
            data, gaps = await kept(log)
            await logs.writer.until_done()
            assert sum(files(logs).values()) <= bounds.log_bytes_max
            assert logs.statistics().bytes == (sum(files(logs).values()) if pieces else 0)
        printed = whole[:at]
        if not gaps:
            assert data == printed
            return
        [gap] = gaps
        assert data == printed[: gap.begin] + printed[gap.end :]
        assert printed[gap.begin - 1 : gap.begin] in (b"", b"\n")
        assert printed[gap.end - 1 : gap.end] == b"\n"
        frames = FRAME_BYTES * len(pieces) + HEADER_BYTES
        assert at - gap.end >= bounds.ring_segment_bytes - frames - len(b"123456789\n")

    async def test_a_line_that_is_longer_than_64_kib_is_cut_between_characters(self, open_logs: OpenLogs) -> None:
        async with open_logs(log_bytes_max=1_000_000) as logs:
            log = await written(logs, 1, "한글 텍스트, ünd 😀 ".encode() * 100_000)
            data, [gap] = await kept(log)
            before, _ = await kept(log, 0, gap.begin)
            after, _ = await kept(log, gap.end)

        assert data == before + after
        assert "한글" in before.decode()
        assert "한글" in after.decode()

    async def test_any_bytes_are_kept(self, open_logs: OpenLogs) -> None:
        printed = b"caf\xe9\n\r 10%\r 20%\r100%\n\x1b[31mred\x1b[0m\n\0\0\n" + bytes(range(256))
        async with open_logs() as logs:
            assert await kept(await written(logs, 1, printed)) == (printed, [])

    async def test_what_a_crash_has_cut_off_is_read_as_far_as_it_goes(self, open_logs: OpenLogs) -> None:
        async with open_logs() as logs:
            log = logs.open(running(1))
            log.append(STDOUT, b"whole\n")
            log.append(STDOUT, b"cut off\n")
        [file] = logs.directory.iterdir()
        os.truncate(file, file.stat().st_size - 4)
        async with open_logs() as logs:
            found = logs.find(running(1), 1)
            assert found is not None
            assert await kept(found) == (b"whole\ncut ", [])
        os.truncate(file, HEADER_BYTES + FRAME_BYTES + len(b"whole\n") + 3)
        async with open_logs() as logs:
            found = logs.find(running(1), 1)
            assert found is not None
            assert await kept(found) == (b"whole\n", [])

    async def test_a_file_that_somebody_deletes_is_a_gap(self, open_logs: OpenLogs) -> None:
        async with open_logs() as logs:
            log = await written(logs, 1, b"gone\n")
            for file in logs.directory.iterdir():
                file.unlink()
            assert await kept(log) == (b"", [Missing(0, 5)])


class TestBounds:
    async def test_the_oldest_finished_task_goes_first(self, open_logs: OpenLogs) -> None:
        async with open_logs(logs_bytes_max=1000) as logs:
            for number in (1, 2, 3):
                await written(logs, number, b"x" * 300)
            await written(logs, 4, b"x" * 300)

            assert [logs.find(running(number), 1) is None for number in (1, 2, 3, 4)] == [True, True, False, False]
            assert logs.statistics().bytes == sum(files(logs).values()) <= 1000

    async def test_an_attempt_of_a_task_that_is_retried_goes_after_finished_tasks(self, open_logs: OpenLogs) -> None:
        async with open_logs(logs_bytes_max=1000) as logs:
            retried = running(1)
            logs.open(retried).append(STDOUT, b"x" * 300)
            logs.end(retried)
            await written(logs, 2, b"x" * 300)
            await written(logs, 3, b"x" * 300)
            assert logs.find(retried, 1) is not None
            assert logs.find(running(2), 1) is None
            await written(logs, 4, b"x" * 900)
            assert logs.find(retried, 1) is None

    async def test_without_a_finished_one_the_log_that_grows_is_given_up(self, open_logs: OpenLogs) -> None:
        troubles: list[str | None] = []
        async with open_logs(logs_bytes_max=1000, on_trouble=troubles.append) as logs:
            first = await written(logs, 1, b"x" * 600, ended=False)
            second = await written(logs, 2, b"x" * 600, ended=False)
            second.append(STDOUT, b"more")
            first.append(STDOUT, b"y" * 100)

            assert await kept(first) == (b"x" * 600 + b"y" * 100, [])
            assert logs.find(running(2), 1) is None
            assert logs.statistics().given_up == 1
            assert logs.statistics().bytes == sum(files(logs).values()) <= 1000
            assert [trouble is not None and "logs_bytes_max" in trouble for trouble in troubles] == [True]
            logs.end(running(2))
            logs.end(running(1))
            assert troubles[1:] == [None]

    async def test_many_that_print_more_than_fits_stay_within_it(self, open_logs: OpenLogs) -> None:
        bounds = {"log_bytes_max": 100_000, "logs_bytes_max": 1_000_000}
        async with open_logs(**bounds) as logs, trio.open_nursery() as nursery:

            async def print_much(number: int) -> None:
                task = running(number)
                log = logs.open(task)
                for _ in range(200):
                    log.append(STDOUT, b"z" * 9_999 + b"\n")
                    await log.pace()
                    assert logs.statistics().bytes <= 1_000_000
                    await trio.lowlevel.checkpoint()
                logs.end(task)
                logs.note([finished(task)])

            for number in range(1, 41):
                nursery.start_soon(print_much, number)
        assert sum(files(logs).values()) <= 1_000_000


class TestAFailedWrite:
    @pytest.fixture
    def full_disk(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """A disk that is full while the list is not empty; its number is how many bytes still fit."""
        fits: list[int] = []
        write = os.write

        def write_some(descriptor: int, data: Any) -> int:
            if not fits:
                return write(descriptor, data)
            if not fits[0]:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            done = write(descriptor, data[: fits[0]])
            fits[0] -= done
            return done

        monkeypatch.setattr(os, "write", write_some)
        return fits

    @pytest.mark.parametrize("room", [0, 10, 100])
    async def test_a_full_disk_ends_the_log_and_raises_nothing(
        self, room: int, full_disk: list[int], open_logs: OpenLogs
    ) -> None:
        troubles: list[str | None] = []
        async with open_logs(on_trouble=troubles.append) as logs:
            full_disk.append(room)
            log = await written(logs, 1, b"x" * 200, ended=False)
            log.append(STDOUT, b"more")
            await logs.writer.until_done()
            assert files(logs) == {}
            assert logs.find(running(1), 1) is None
            assert logs.statistics()[:2] == (0, 1)
            logs.end(running(1))
            assert logs.statistics() == LogStatistics(given_up=1)

            full_disk.clear()
            assert await kept(await written(logs, 2, b"again")) == (b"again", [])
        assert troubles == [f"{logs.directory}: No space left on device", None]

    async def test_a_directory_that_cannot_be_made_ends_every_log(self, open_logs: OpenLogs, tmp_path: Path) -> None:
        (tmp_path / "logs").write_text("in the way")
        async with open_logs() as logs:
            await written(logs, 1, b"lost")
            assert logs.find(running(1), 1) is None

    async def test_a_disk_that_hangs_ends_the_log_and_not_the_task(
        self, open_logs: OpenLogs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hanging = trio.Event()

        async def hang(*_: Any, **__: Any) -> None:
            hanging.set()
            await trio.sleep_forever()

        async with open_logs() as logs:
            monkeypatch.setattr("pexecutor.logs.attempt_log.LOG_PACE_SECONDS_MAX", 0.01)
            monkeypatch.setattr("pexecutor.logs.writer.BACKLOG_BYTES", 10)
            monkeypatch.setattr("pexecutor.logs.attempt_log.BACKLOG_BYTES", 10)
            monkeypatch.setattr("trio.to_thread.run_sync", hang)
            log = logs.open(running(1))
            log.append(STDOUT, b"x" * 100)
            await hanging.wait()
            with trio.fail_after(5):
                await log.pace()
            assert log.dropped
            monkeypatch.undo()
            monkeypatch.setattr("pexecutor.logs.files.LOGS_CLOSE_SECONDS_MAX", 0.01)


class TestTheEndOfRecords:
    async def test_the_files_go_with_the_record(self, open_logs: OpenLogs) -> None:
        async with open_logs() as logs:
            await written(logs, 1, b"one")
            await written(logs, 2, b"two")
            logs.forget([running(1).serial])
            await logs.writer.until_done()
            assert logs.find(running(1), 1) is None
            assert len(files(logs)) == 1

    async def test_a_start_removes_what_has_no_record(self, open_logs: OpenLogs, records: Records) -> None:
        async with open_logs() as logs:
            for number in (1, 2, 3):
                await written(logs, number, b"%d" % number)
            (logs.directory / "a3f09c-9.1.0.log").write_bytes(b"no segment")
            (logs.directory / "notes.txt").write_bytes(b"not ours")
        records.only_known = True
        records.put(finished(running(2)), running(3))
        async with open_logs() as logs:
            with trio.fail_after(5):
                while len(files(logs)) > 3:  # noqa: ASYNC110  (the sweep has no event)
                    await trio.sleep(0.01)
            assert [name.partition(".")[0] for name in files(logs)] == ["a3f09c-2", "a3f09c-3", "notes"]
            found = logs.find(running(3), 1)
            assert found is not None
            assert await kept(found) == (b"3", [])

    async def test_what_an_earlier_process_left_counts_and_goes_first(
        self, open_logs: OpenLogs, records: Records
    ) -> None:
        records.put(finished(running(1)))
        async with open_logs() as logs:
            await written(logs, 1, b"x" * 600)
        async with open_logs(logs_bytes_max=1000) as logs:
            await trio.testing.wait_all_tasks_blocked()
            assert logs.statistics().bytes == sum(files(logs).values())
            await written(logs, 2, b"x" * 600)
            assert logs.find(running(1), 1) is None
            assert logs.statistics().given_up == 0

    async def test_the_log_of_another_task_with_the_same_serial_is_not_taken_for_its_own(
        self, open_logs: OpenLogs, records: Records
    ) -> None:
        async with open_logs() as logs:
            await written(logs, 1, b"before the backup was restored")
            earlier = finished(running(1))
            later = msgspec.structs.replace(earlier, submitted_at=earlier.submitted_at + 60)
            assert logs.find(later, 1) is None
            records.put(later)
            await logs.sweep(records)
            await logs.writer.until_done()
            assert files(logs) == {}

    async def test_an_attempt_whose_lease_was_lost_does_not_end_the_log_of_the_next_one(
        self, open_logs: OpenLogs
    ) -> None:
        async with open_logs() as logs:
            lost, again = running(1, token=1), running(1, token=2)
            logs.open(lost).append(STDOUT, b"lost")
            log = logs.open(again)
            log.append(STDOUT, b"again")
            logs.end(lost)
            log.append(STDOUT, b", and on")
            assert await kept(log) == (b"again, and on", [])


class TestDirectories:
    def test_nodes_on_one_machine_have_their_own(self, tmp_path: Path) -> None:
        first, second, third = (NodeDirectory(tmp_path) for _ in range(3))
        first.open()
        second.open()
        assert (first.path.name, second.path.name) == ("1", "2")
        first.close()
        third.open()
        assert third.path.name == "1"
        second.close()
        third.close()

    async def test_a_temporary_one_goes_at_the_end(self, tmp_path: Path, records: Records) -> None:
        logs = LogFiles(TemporaryDirectory(tmp_path))
        async with logs.opened(records):
            await written(logs, 1, b"for now")
            assert logs.directory.exists()
        assert files(logs) == {}
        assert not await trio.Path(logs.directory).exists()
