"""Tests of ``pexecutor conformance``: its report about a store, and its exit status."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from pexecutor.conformance import GUARANTEES
from pexecutor.conformance.subjects import MemorySubject

from ..server.conftest import Run, run
from ..stores.broken import NamesNobodyToStop

__all__ = ["run"]

NOT_APPLYING = sum(bool(guarantee.needs) for guarantee in GUARANTEES)
APPLYING = len(GUARANTEES) - NOT_APPLYING


def test_a_line_for_each_guarantee(run: Run) -> None:
    result = run("conformance", "--store", "memory")
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert [line[2] for line in lines if len(line) > 1] == [guarantee.sentence for guarantee in GUARANTEES]
    [total, *reasons] = [line[0] for line in lines if len(line) == 1]
    assert total == f"memory: of {len(GUARANTEES)} guarantees {APPLYING} hold, {NOT_APPLYING} do not apply"
    assert {reason.partition(": ")[2] for reason in reasons} == set(MemorySubject.lacks.values())
    assert result.returncode == 0


def test_one_document(run: Run) -> None:
    document = json.loads(run("conformance", "--store", "memory", "--json").stdout)
    assert document["store"] == "memory"
    assert document["counts"] == {"holds": APPLYING, "does not apply": NOT_APPLYING}
    assert [each["name"] for each in document["guarantees"]] == [guarantee.name for guarantee in GUARANTEES]
    assert document["guarantees"][0] == {
        "group": "names",
        "name": "first_of_two_equal_names",
        "guarantee": "Of two equal names in one list, the first is accepted.",
        "promise": GUARANTEES[0].promise,
        "standing": "holds",
        "reason": "",
    }


def test_a_broken_promise(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pexecutor.conformance.subjects.MemorySubject", partial(MemorySubject, NamesNobodyToStop))
    result = run("conformance", "--store", "memory")
    [broken] = [line.split("\t") for line in result.stdout.splitlines() if line.startswith("broken")]
    assert broken[2] == "supersede names the running task that has to stop, and runs after that task has ended."
    assert "the verdict does not name the task that has to stop" in broken[3]
    assert "1 are broken" in result.stdout
    assert result.returncode == 1


def test_the_operators_file_is_not_touched(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "mine.db"
    with closing(sqlite3.connect(path)) as file:
        file.execute("CREATE TABLE mine (x)")
    before = path.read_bytes()
    result = run("conformance", "--store", f"sqlite:{path}", "--durability", "normal")
    assert result.returncode == 0
    assert f"sqlite, in {tmp_path}: of" in result.stdout
    assert "not proved: With this durability a power cut may lose the last moments" in result.stdout
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["mine.db"]


def test_there_is_nowhere_to_try(run: Run, tmp_path: Path) -> None:
    result = run("conformance", "--store", f"sqlite:{tmp_path}/nowhere/x.db")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"pexecutor: cannot create files in {tmp_path}/nowhere: No such file or directory\n"
