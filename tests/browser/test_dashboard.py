"""The dashboard in a real browser: submit, watch, cancel, search, lose and regain the connection, drain."""

from __future__ import annotations

import itertools
import signal
from pathlib import Path
from typing import Any

from pexecutor.access import hash_token, new_token

from ..server.process import ServerProcess
from ..stores.valkey.server import valkey_server
from .conftest import Start
from .page import Page

numbers = itertools.count(1)


def a_name() -> str:
    """Return a name that no other task has."""
    return f"task-{next(numbers)}"


def submit(server: ServerProcess, **task: Any) -> str:
    reply = server.client.post("/tasks", json=task)
    assert reply.status_code == 202, reply.text
    return str(reply.json()["id"])


def test_a_task_from_the_form_to_its_outcome(page: Page, server: ServerProcess) -> None:
    name = a_name()
    page.open(server.url)
    page.shows("#handlers", "Goes on step by step")

    page.press("New task for steps")
    page.fill("#field-name", name)
    page.fill("#field-count", "1000")
    page.click("#submit .primary")
    page.shows("#pool .name", name)
    page.shows("#pool li", "of 1,000")
    page.until(
        lambda: (
            float(page.run("return getComputedStyle(document.querySelector('#pool .bar')).getPropertyValue('--part')"))
            > 0
        ),
        "no bar",
    )
    page.press(f"Cancel {name}")

    page.shows("#finished li", name)
    page.shows("#finished li", "cancelled")
    page.click(f"#finished .name[title={name}]")
    page.shows("#detail header", "cancelled")
    page.shows("#detail pre", "1 of 1000 rows")
    page.shows("#detail dl", "steps")
    page.press("Run again")
    page.shows("#toasts", f"Submitted {name} again")
    page.shows("#pool .name", name)
    page.press(f"Cancel {name}")
    page.until(lambda: page.texts("#finished .name").count(name) == 2, "the second run did not end")
    assert page.complaints() == []


def test_outcomes_are_told_apart_and_explained(page: Page, server: ServerProcess) -> None:
    good, bad = a_name(), a_name()
    page.open(server.url)
    submit(server, name=good, handler="steps", params={"count": 2, "note": "two rows"})
    submit(server, name=bad, handler="fail", retries=1, retry_delay=0)
    page.shows("#finished .name", bad)
    page.shows("#finished .name", good)

    page.run(
        "const it = document.getElementById('outcome'); it.value = 'failed'; it.dispatchEvent(new Event('change'))"
    )
    page.until(lambda: good not in page.texts("#finished .name"), "the filter lets others through")
    page.run(
        "[...document.querySelectorAll('#finished .name')].find((it) => it.textContent === arguments[0]).click()", bad
    )
    page.shows("#detail .problem", "there is no such table")
    page.shows("#detail ol", "failed after")
    page.press("Close")
    page.run("const it = document.getElementById('outcome'); it.value = ''; it.dispatchEvent(new Event('change'))")
    page.click(f"#finished .name[title={good}]")
    page.shows("#detail pre", '"two rows"')


def test_the_form_tells_what_is_wrong_where_it_is_wrong(page: Page, server: ServerProcess) -> None:
    name = a_name()
    page.expect("status of 409", "status of 400")
    submit(server, name=name, duration=60_000)
    page.open(server.url)
    page.press("New task for steps")

    page.fill("#field-count", "1.5")
    page.click("#submit .primary")
    assert page.texts("#field-name-fault") == ["This field is required."]
    assert page.texts("#field-count-fault") != [""]

    page.fill("#field-name", name)
    page.fill("#field-count", "5")
    page.click("#submit .primary")
    page.shows("#submit .problem", f"the name '{name}' is held by")

    page.run("document.getElementById('field-name').value = 'x'.repeat(256)")
    page.click("#submit .primary")
    page.shows("#field-name-fault", "`name`")
    assert page.run("return document.getElementById('field-name').ariaInvalid") == "true"
    assert page.run("return document.getElementById('field-unit').value") == '"rows"'


def test_twenty_thousand_that_wait(page: Page, start: Start) -> None:
    server = start("-pool-size", "1")
    submit(server, name="first", duration=600_000)
    for batch in range(2):
        tasks = [{"name": f"job-{batch * 10_000 + number:05}", "duration": 1} for number in range(10_000)]
        assert server.client.post("/tasks?verdicts=none", json=tasks).status_code == 200
    page.open(server.url)
    page.shows("#n-queue", "20,000")
    page.until(
        lambda: page.run("return document.getElementById('waiting').scrollHeight") == 20_000 * 36, "not all is there"
    )

    most = 0
    for number in [0, 5000, 12_345, 19_999]:
        page.run("document.getElementById('waiting').scrollTop = arguments[0] * 36", number)
        page.shows("#waiting .name", f"job-{number:05}")
        most = max(most, page.run("return document.querySelectorAll('#waiting li').length"))
    assert most < 40, "rows are used again"
    assert page.run("return document.querySelector('#waiting li:not([hidden])').ariaSetSize") == "20000"

    page.fill("#search", "JOB-1999")
    page.until(lambda: len(page.texts("#waiting .name")) == 10, "the search finds others")
    page.press("Cancel job-19995")
    page.shows("#waiting li", "ended")
    page.run(
        """const inputs = [...document.querySelectorAll('#waiting input')];
        const input = inputs.find((it) => it.ariaLabel.endsWith('job-19997'));
        input.value = 50; input.dispatchEvent(new Event('change'))"""
    )
    page.shows("#toasts", "job-19997 has priority 50")
    page.fill("#search", "job-1999")
    page.until(lambda: len(page.texts("#waiting .name")) == 9, "what has ended is still there")
    page.fill("#search", " ")
    page.run("document.getElementById('waiting').scrollTop = 0; document.getElementById('search').focus()")
    page.until(lambda: page.texts("#waiting .name")[0] == "job-19997", "it was not moved to the front")
    assert server.client.get("/tasks/pending?limit=1").json()[0]["name"] == "job-19997"
    page.shows("#waiting-title + p", "19,999")


def test_the_connection_is_lost_and_comes_back(page: Page, start: Start) -> None:
    page.expect(
        "ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION_RESET"
    )
    server = start("--store", "memory")
    port = server.url.rsplit(":", 1)[1]
    submit(server, name="before", duration=600_000)
    page.open(server.url)
    page.shows("#pool .name", "before")
    server.signal(signal.SIGKILL)
    server.wait()
    page.shows("#connection", "Not connected")
    page.shows("#banner", "Connection lost; reconnecting. The page shows the state of ")
    assert "before" in page.texts("#pool .name")

    again = start("--port", port, "--store", "memory")
    submit(again, name="after", duration=600_000)
    page.shows("#connection", "Live")
    page.shows("#pool .name", "after")
    page.until(lambda: page.texts("#banner") == [], "the banner stays")
    page.until(lambda: "before" not in page.texts("#pool .name"), "what is gone is still shown")


def test_the_drain(page: Page, start: Start) -> None:
    page.expect("ERR_CONNECTION_REFUSED", "status of 503")
    server = start("--drain-timeout", "600", "-pool-size", "1", "--store", "memory")
    submit(server, name="running", duration=600_000)
    submit(server, name="waiting", duration=600_000)
    page.open(server.url)
    page.shows("#waiting .name", "waiting")

    page.press("Drain…")
    page.shows("#drain-dialog", "Waiting tasks (1) are lost, as they are only in memory")
    page.press("Keep it running")
    assert server.client.get("/readyz").status_code == 200
    page.press("Drain…")
    page.press("Drain and stop")
    page.shows(
        "#banner", "Draining: no new tasks are accepted, and the server stops when the running tasks have ended (1)"
    )
    assert page.run("return document.getElementById('new-task').disabled")
    page.press("Cancel running")
    assert server.wait() == 0
    page.shows("#banner", "The server has stopped.")


def test_a_store_that_is_lost_is_told(page: Page, server: ServerProcess) -> None:
    page.open(server.url)
    page.run(
        """const real = window.fetch;
        const refusal = { status: 503, headers: { "Content-Type": "application/problem+json" } };
        const lost = async () => ({ status: 503, detail: "the disk is full", ...await (await real("readyz")).json() });
        const answer = async () => new Response(JSON.stringify({ ...await lost(), status: 503 }), refusal);
        window.fetch = (path, options) => path === "readyz" ? answer() : real(path, options);"""
    )
    submit(server, name=a_name())
    page.shows("#banner", "The server accepts no tasks: the disk is full")


def test_a_server_that_wants_to_know_who_asks(page: Page, start: Start, tmp_path: Path) -> None:
    token = new_token()
    settings = tmp_path / "settings.toml"
    settings.write_text(f'[tokens.somebody]\nsha256 = "{hash_token(token)}"\nscope = "admin"\n')
    server = start("--config", str(settings))
    without_intervals = "window.setInterval = () => 0"
    with page.running_first(without_intervals):
        page.open(server.url, until="")
        page.shows("#session", "Sign in")
    page.driver.refresh()
    page.shows("#session", "Sign in")
    assert page.run("return document.activeElement.id") == "token"
    assert page.unexpected_errors() == [], "not even a reply 401: nothing was asked that needs a token"
    page.expect("status of 401")
    page.fill("#token", new_token())
    page.click("#session .primary")
    page.shows("#session .problem", "Unknown token.")
    page.fill("#token", token)
    page.click("#session .primary")
    page.shows("#connection", "Live")
    page.press("New task")
    page.fill("#submit [name=name]", name := a_name())
    page.click("#submit .primary")
    page.shows("#finished .name", name)
    page.press("Sign out")
    page.shows("#session", "Sign in")
    page.open(server.url, until="")
    page.shows("#session", "Sign in")


def test_a_session_that_the_server_has_forgotten(page: Page, start: Start, tmp_path: Path) -> None:
    page.expect("ERR_", "status of 401")
    token = new_token()
    settings = tmp_path / "settings.toml"
    settings.write_text(f'[tokens.somebody]\nsha256 = "{hash_token(token)}"\nscope = "admin"\n')
    server = start("--config", str(settings))
    page.open(server.url, until="")
    page.fill("#token", token)
    page.click("#session .primary")
    page.shows("#connection", "Live")
    server.signal(signal.SIGKILL)
    server.wait()
    start("--config", str(settings), "--port", server.url.rsplit(":", 1)[1])
    page.shows("#session", "Sign in")
    page.fill("#token", token)
    page.click("#session .primary")
    page.shows("#connection", "Live")
    page.press("Sign out")
    page.shows("#session", "Sign in")


def test_nothing_in_line_runs_and_nothing_is_complained_of(page: Page, server: ServerProcess) -> None:
    page.expect("Content Security Policy")
    page.open(server.url)
    page.shows("#charts figure", "Run time")
    assert page.complaints() == []
    nameless = """return [...document.querySelectorAll('button, input, select, [tabindex], [role=img]')]
        .filter((it) => it.checkVisibility())
        .filter((it) => !(it.ariaLabel || it.labels?.length || it.textContent.trim())).map((it) => it.outerHTML)"""
    assert page.run(nameless) == [], "everything that can be reached has a name"
    page.run("const it = document.createElement('script'); it.text = 'window.broken = 1'; document.body.append(it)")
    assert page.run("return window.broken") is None
    assert any("Content Security Policy" in complaint for complaint in page.complaints())


def test_the_nodes_of_a_shared_queue(page: Page, start: Start, tmp_path: Path) -> None:
    with valkey_server(tmp_path / "valkey") as valkey:
        one, other = (start("--store", valkey.url, "--pool-size", str(size)) for size in (5, 7))
        page.open(one.url)
        page.shows("#nodes", "of 5 busy")
        page.shows("#nodes", "of 7 busy")
        names = sorted(node["name"] for node in one.client.get("/nodes").json())
        assert len(names) == 2
        assert sorted(page.texts("#nodes li > :first-child")) == names
        submit(other, name=a_name(), handler="sleep", duration=60_000)
        page.until(lambda: any("1 of " in text for text in page.texts("#nodes li")), "nobody is busy")


def open_task(page: Page, server: ServerProcess, **task: Any) -> str:
    """Submit a task and open its record."""
    task_id = submit(server, **task)
    name = task["name"]
    page.open(server.url)
    page.until(
        lambda: page.run(
            """const found = [...document.querySelectorAll('.name')].find((it) => it.textContent === arguments[0]);
            found?.click(); return found !== undefined""",
            name,
        ),
        f"{name} is not shown",
    )
    page.shows("#detail h2", name)
    return task_id


LOG = "[...document.querySelectorAll('#detail pre')].find((it) => it.previousSibling.textContent.startsWith('log'))"


def log_text(page: Page) -> str:
    text: str = page.run(f"return {LOG}.textContent")
    return text


def test_a_log_that_grows_leaves_the_reader_where_they_are(page: Page, server: ServerProcess) -> None:
    open_task(page, server, name=a_name(), handler="steps", params={"count": 2000})
    page.until(lambda: page.run(f"return {LOG}.scrollHeight > {LOG}.clientHeight + 300"), "the log does not grow")
    page.run(f"{LOG}.scrollTop = 100; {LOG}.focus(); getSelection().selectAllChildren({LOG}.firstChild)")
    before = log_text(page)
    page.until(lambda: len(log_text(page)) > len(before) + 500, "the log does not grow")
    assert page.run(f"return {LOG}.scrollTop") == 100
    assert page.run(f"return document.activeElement === {LOG}"), "the focus went away"

    page.run(f"{LOG}.scrollTop = {LOG}.scrollHeight")
    before = log_text(page)
    page.until(lambda: len(log_text(page)) > len(before) + 500, "the log does not grow")
    assert page.run(f"return {LOG}.scrollTop + {LOG}.clientHeight >= {LOG}.scrollHeight - 4"), "it is not at the end"
    page.press("Cancel task")
    page.shows("#detail header", "cancelled")


def test_a_log_that_loses_its_beginning_leaves_the_reader_where_they_are(page: Page, server: ServerProcess) -> None:
    open_task(page, server, name=a_name(), handler="talk", params={"count": 100_000})
    page.until(lambda: page.run(f"return {LOG}.scrollHeight") > 10_000, "there is no long log")
    line_at_top = f"""const style = getComputedStyle({LOG});
        const line = Math.round(({LOG}.scrollTop - parseFloat(style.paddingTop)) / parseFloat(style.lineHeight));
        return {LOG}.textContent.split("\\n")[line]"""
    page.run(f"{LOG}.scrollTop = 5000")
    read, before = page.run(line_at_top), log_text(page)
    page.until(lambda: log_text(page)[:100] != before[:100], "the log loses nothing")
    assert page.run(line_at_top) == read
    page.press("Cancel task")


def test_a_record_can_be_read_while_the_server_is_away(page: Page, start: Start) -> None:
    page.expect(
        "ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED_ENCODING", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION_RESET"
    )
    server = start()
    open_task(page, server, name="long", handler="steps", params={"count": 100_000})
    page.shows("#detail pre", "1 of 100000 rows")
    server.signal(signal.SIGKILL)
    page.shows("#connection", "Not connected")
    assert "1 of 100000 rows" in log_text(page)


def test_a_task_says_what_holds_it_back_and_which_tags_it_has(page: Page, server: ServerProcess) -> None:
    assert server.client.post("/handlers/sleep/pause").status_code == 200
    name = a_name()
    open_task(page, server, name=name, tags=["nightly", "blue"])
    page.shows("#detail dl", "the handler 'sleep' is paused since")
    page.shows("#detail dl", "nightly, blue")
    assert server.client.post("/handlers/sleep/resume").status_code == 200
    page.shows("#detail header", "succeeded")
