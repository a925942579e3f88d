"""``pause``, ``resume``, ``status``, ``why``, ``list --why``, and the reason in ``show``."""

from __future__ import annotations

from .conftest import Run


def test_a_pause_and_its_end(run: Run) -> None:
    [[what, _, by]] = run("pause", "fails").fields
    assert (what, by) == ("fails", "anonymous")
    assert [fields[0] for fields in run("pause").fields] == ["everything", "fails"]

    submitted = run("submit", "held-back", "--handler", "fails").fields[0][0]
    assert [fields[0] for fields in run("why", "held-back").fields] == ["paused", "paused"]
    assert run("show", submitted).fields[0][0] == "why"
    [[*_, note]] = run("list", "--why", "--name", "held-back").fields
    assert "everything is paused since" in note
    assert "the handler 'fails' is paused since" in note

    status = dict(fields[:2] for fields in run("status").fields if fields[0] != "paused")
    assert (status["phase"], status["workers"].endswith("busy")) == ("serving", True)
    assert sum(fields[0] == "paused" for fields in run("status").fields) == 2

    assert [fields[0] for fields in run("resume").fields] == ["fails"]
    assert run("resume", "fails", "--json").json == {"pauses": []}


def test_a_scheduled_task_says_when_it_is_due(run: Run) -> None:
    run("submit", "due-later", "--delay", "1d")

    assert run("why", "due-later", "--json").json["reason"] == "due"
    [[*_, note]] = run("list", "--why", "--name", "due-later").fields
    assert note.startswith("due at 2")


def test_an_unknown_handler_is_refused(run: Run) -> None:
    result = run("pause", "nothing")

    assert (result.status != 0, "no handler has the name 'nothing'" in result.err) == (True, True)


def test_a_task_that_has_ended_has_no_reason(run: Run) -> None:
    run("submit", "ended", "--wait")

    assert run("why", "ended").status != 0
    assert run("show", "ended").fields[0][0] == "id"
