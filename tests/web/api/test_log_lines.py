"""Tests of the two forms in which a log is sent: lines of JSON, and text."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from pexecutor.handlers.cuts import LINE_BYTES_MAX
from pexecutor.logs.reading import Missing
from pexecutor.logs.segments import Chunk
from pexecutor.web.api.log_lines import LineEncoder, TextEncoder


def chunks_of(*pieces: tuple[str, bytes]) -> list[Chunk]:
    """Return consecutive chunks of these streams."""
    chunks, at = [], 0
    for stream, data in pieces:
        chunks.append(Chunk(at, 1_800_000_000.5, stream, data))
        at += len(data)
    return chunks


def rows(encoded: bytes) -> list[Any]:
    return [msgspec.json.decode(line) for line in encoded.splitlines()]


def data_of(row: Any) -> bytes:
    return base64.b64decode(row["base64"]) if "base64" in row else str(row["text"]).encode()


def test_each_line_has_its_place_time_and_stream() -> None:
    encoder = LineEncoder()
    encoded = encoder.encode(chunks_of(("stdout", b"one\ntwo\n"), ("stderr", b"three\n")))
    assert rows(encoded) == [
        {"offset": 0, "stream": "stdout", "text": "one\n", "time": "2027-01-15T08:00:00.500Z"},
        {"offset": 4, "stream": "stdout", "text": "two\n", "time": "2027-01-15T08:00:00.500Z"},
        {"offset": 8, "stream": "stderr", "text": "three\n", "time": "2027-01-15T08:00:00.500Z"},
    ]
    assert encoder.flush(ended=True) == b""


def test_a_line_that_arrives_in_parts_is_one_row() -> None:
    encoder = LineEncoder()
    encoded = encoder.encode(chunks_of(("stdout", b"o"), ("stdout", b"n"), ("stdout", b"e\n")))
    assert [row["text"] for row in rows(encoded)] == ["one\n"]


def test_a_follower_gets_an_unfinished_line_but_no_half_character() -> None:
    encoder = LineEncoder()
    first, second = chunks_of(("stdout", b"50% \xe2\x82"), ("stdout", b"\xac\n"))
    assert encoder.encode([first]) == b""
    assert [row["text"] for row in rows(encoder.flush(ended=False))] == ["50% "]
    assert [(row["offset"], row["text"]) for row in rows(encoder.encode([second]))] == [(4, "\u20ac\n")]


def test_invalid_bytes_are_replaced_and_sent_as_they_are_too() -> None:
    [row] = rows(LineEncoder().encode(chunks_of(("stdout", b"caf\xe9\n"))))
    assert (row["text"], data_of(row)) == ("caf\ufffd\n", b"caf\xe9\n")


def test_a_gap_is_a_row_and_a_line_of_text() -> None:
    part = Missing(8, 1008)
    assert rows(LineEncoder().encode(part)) == [{"offset": 8, "missing_bytes": 1000}]
    assert TextEncoder().encode(part) == b"[pexecutor: 1000 bytes of the output are not kept]\n"
    encoder = TextEncoder()
    encoder.encode(chunks_of(("stdout", b"no line end")))
    assert encoder.encode(part) == b"\n[pexecutor: 1000 bytes of the output are not kept]\n"


def test_a_line_over_64_kib_is_cut_between_characters() -> None:
    line = "\u20ac".encode() * 50_000 + b"\n"
    encoder = LineEncoder()
    pieces = [("stdout", line[at : at + 65_536]) for at in range(0, len(line), 65_536)]
    found = rows(encoder.encode(chunks_of(*pieces)))
    assert b"".join(map(data_of, found)) == line
    assert len(found) == 3
    assert all("base64" not in row and len(data_of(row)) <= LINE_BYTES_MAX for row in found)


def test_a_long_run_of_one_kind_of_byte_is_sent_at_all() -> None:
    encoder = LineEncoder()
    encoded = encoder.encode(chunks_of(("stdout", b"\xe2" * 200_000))) + encoder.flush(ended=True)
    assert sum(len(data_of(row)) for row in rows(encoded)) == 200_000


@given(
    st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.binary(min_size=1, max_size=9)), max_size=20),
    st.lists(st.booleans(), max_size=20),
)
def test_rows_are_consecutive_and_have_every_byte(pieces: list[tuple[str, bytes]], flushes: list[bool]) -> None:
    encoder, encoded, chunks = LineEncoder(), b"", chunks_of(*pieces)
    for number, chunk in enumerate(chunks):
        encoded += encoder.encode([chunk])
        if number < len(flushes) and flushes[number]:
            encoded += encoder.flush(ended=False)
    encoded += encoder.flush(ended=True)
    at = 0
    printed = {"stdout": b"", "stderr": b""}
    for row in rows(encoded):
        assert row["offset"] == at
        at += len(data_of(row))
        printed[row["stream"]] += data_of(row)
    assert printed == {
        name: b"".join(data for stream, data in pieces if stream == name) for name in ("stdout", "stderr")
    }
