"""Read a guide of the documentation, and run it: write its files, start its servers, type its commands, compare.

The language and the caption of a fenced block determine what the test does with it:

| block | what the test does |
|---|---|
| `console` | runs each command and compares its output |
| `toml`, and any block whose caption is a file name | loads it as settings; writes the file that the caption names |
| `sh`, caption "In the server's terminal" | starts the server, after Ctrl-C to a server that still runs |
| `text`, caption "The server prints" | looks for each line in the output of the server after its end |
| `text`, caption "crontab -e" | runs each line's command as cron does |
| `text`, caption "An older version prints" | has its own test |
| `literalinclude` | includes a file of ``examples/``, which has its own test |
| `sh` without a caption | does not run it: ``NOT_RUN`` in ``test_guides.py`` says why |
"""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Final, NamedTuple

from .conftest import PROJECT, Launch, ServerProcess, clean_environment
from .markdown import Block, Step, normal, steps
from .session import run_in_bash

DOCS: Final = PROJECT / "docs"
LOOK_SECONDS_MAX: Final = 30.0
LOOK_SECONDS: Final = 0.1

_FENCE: Final = re.compile(r"^```(?P<info>[^`\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_OPTION: Final = re.compile(r"^:(?P<name>[\w-]+): (?P<value>.*)\n", re.MULTILINE)
_FILE: Final = re.compile(r"[\w./-]+\.[a-z]+|Dockerfile")
_SLEEPS: Final = ("sleep 20", "sleep 5")
"""Delays on a page that the tests skip."""

_ONLY_READS: Final = re.compile(r"(pexecutor (list|show|logs|status|why)\b|curl (?!.* -[dXT] )|ls\b|cat\b)(?!.*>)")
_ID: Final = re.compile(r"\b(?P<tag>[0-9a-f]{6})-(?=\d+\b)")
_VARYING: Final = [
    (r"\brequest_id=\w+", "request_id=<id>"),
    (r"\bseconds=[\d.]+", "seconds=<seconds>"),
    (r"\bwith pid \d+", "with pid <pid>"),
    (r"\bversion \d+\.\d+\S*", "version <version>"),
    (r"(?m)^date: .*$", "date: <date>"),
]


class Kind(Enum):
    """The way in which the tests handle a block."""

    SESSION = "session"
    SETTINGS = "settings"
    FILE = "file"
    SERVER = "server"
    PRINTED = "printed"
    CRONTAB = "crontab"
    OLDER_PRINTS = "older version prints"
    EXAMPLE = "example"
    NOT_RUN = "not run"


class Part(NamedTuple):
    """A fenced block of a guide."""

    page: str
    line: int
    language: str
    caption: str
    text: str

    def __repr__(self) -> str:
        return f"{self.page}, line {self.line}"

    @property
    def kind(self) -> Kind:
        """Return the way in which the tests handle the block.

        Raises:
            AssertionError: no test handles such a block.
        """
        match self.language, self.caption:
            case "console", "":
                return Kind.SESSION
            case "toml", "":
                return Kind.SETTINGS
            case "sh", "In the server's terminal":
                return Kind.SERVER
            case "text", "The server prints":
                return Kind.PRINTED
            case "text", "crontab -e":
                return Kind.CRONTAB
            case "text", "An older version prints":
                return Kind.OLDER_PRINTS
            case "{literalinclude}", _:
                return Kind.EXAMPLE
            case "sh", "":
                return Kind.NOT_RUN
            case _, caption if _FILE.fullmatch(caption):
                return Kind.FILE
        raise AssertionError(f"{self}: no test knows what to do with {self.language} {self.caption!r}")


def guides() -> list[Path]:
    """Return the pages of the tutorial and the how-to guides."""
    return sorted([*DOCS.glob("tutorial/**/*.md"), *DOCS.glob("how-to/**/*.md")])


def name_of(page: Path) -> str:
    return str(page.relative_to(DOCS).with_suffix(""))


def parts(page: Path) -> list[Part]:
    """Return all fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = [_part(name_of(page), text, match) for match in _FENCE.finditer(text)]
    assert len(re.findall(r"^\s*(```|~~~)", text, re.MULTILINE)) == 2 * len(found), f"{page}: an unusual fence"
    return found


def _part(page: str, text: str, match: re.Match[str]) -> Part:
    directive, _, argument = match["info"].partition(" ")
    line = text.count("\n", 0, match.start()) + 1
    if not directive.startswith("{"):
        return Part(page, line, directive, "", match["body"])
    options = dict(_OPTION.findall(match["body"]))
    body = _OPTION.sub("", match["body"]).removeprefix("\n")
    if directive == "{code-block}":
        return Part(page, line, argument, options["caption"], body)
    return Part(page, line, directive, argument, body)


class Guide:
    """A reader who follows a page: a directory, a shell, and the server in another terminal.

    Parameters:
        page: the Markdown file.
        home: the directory that the page calls ``/home/ada``.
        launch: starts a server.
        ports: the port that each port of the page stands for; 8080 is the server's.
    """

    def __init__(self, page: Path, home: Path, launch: Launch, ports: Mapping[int, int]) -> None:
        self._page = page
        self._home = home
        self._launch = launch
        self._ports = ports
        self._shell = _Shell(home, HOME=str(home), PEXECUTOR_URL=f"http://127.0.0.1:{ports[8080]}")
        self._server: ServerProcess | None = None
        self._printed: list[tuple[Part, str]] = []
        self._crontab: list[Part] = []
        self._tag = ""

    def follow(self) -> None:
        """Follow all instructions of the page, in order."""
        does: dict[Kind, Callable[[Part], None]] = {
            Kind.SESSION: self._type,
            Kind.FILE: self._write,
            Kind.SERVER: self._start,
            Kind.PRINTED: self._expect,
            Kind.CRONTAB: self._crontab.append,
        }
        for part in parts(self._page):
            if part.kind in does:
                does[part.kind](part)
        for part in self._crontab:
            self._run_by_cron(part)
        self._end_server()

    def _write(self, part: Part) -> None:
        file = self._home / part.caption
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_text(self._real(part.text), encoding="utf-8")

    def _type(self, part: Part) -> None:
        for step in steps(Block(part.language, part.text, part.line, part.page)):
            self.check(step, part)

    def check(self, step: Step, part: Part) -> None:
        """Run one command and compare its output. Repeat a command that only reads until its output matches."""
        output = first = self.run(step.command)
        until = time.monotonic() + (LOOK_SECONDS_MAX if _ONLY_READS.match(step.command) else 0)
        while not same(output, step.shown):
            assert time.monotonic() < until, f"{part}: {step.command}\nprinted {first}\nand not {step.shown}"
            time.sleep(LOOK_SECONDS)
            output = self.run(step.command)

    def run(self, command: str) -> str:
        """Run a command, and return its output as the page would show it."""
        output = self._shown(self._shell.run(self._real(command)))
        if (given := _ID.search(output)) is not None:
            self._tag = given["tag"]
        return output

    def _run_by_cron(self, part: Part) -> None:
        for line in part.text.splitlines():
            *times, command = line.split(maxsplit=5)
            assert all(re.fullmatch(r"\*|\d+", time_) for time_ in times), f"{part}: {times} is not a time of cron's"
            assert "%" not in command, f"{part}: cron ends a line at a %"
            printed = self.run(f"(cd; /bin/sh -c {shlex.quote(command)})")
            assert not printed, f"{part}: cron would mail {printed}"

    def _start(self, part: Part) -> None:
        self._end_server()
        before, and_, command = self._real(part.text).rpartition("&& ")
        script = f"{before}{and_}exec {command}"
        variables = {"PEXECUTOR_PORT": str(self._ports[8080]), "HOME": str(self._home)}
        self._server = self._launch(["bash", "-c", script], self._home, **variables)

    def _expect(self, part: Part) -> None:
        self._printed.extend((part, line) for line in part.text.splitlines())

    def _end_server(self) -> None:
        if self._server is None:
            return
        status, log = self._server.stop()
        printed = self._shown(log).splitlines()
        for part, line in self._printed:
            assert any(same(line, other) for other in printed), f"{part}: the server did not print {line}\nbut {log}"
        assert status == 0, f"{self._page}: the server ended with {status}: {log}"
        self._printed.clear()

    def _real(self, text: str) -> str:
        text = text.replace("/home/ada", str(self._home))
        for shown, real in self._ports.items():
            text = re.sub(rf":{shown}\b", f":{real}", text)
        text = text.replace(*_SLEEPS)
        return _ID.sub(f"{self._tag}-", text) if self._tag else text

    def _shown(self, text: str) -> str:
        text = text.replace(str(self._home), "/home/ada")
        for shown, real in self._ports.items():
            text = re.sub(rf":{real}\b", f":{shown}", text)
        return text


class _Shell:
    """A shell that keeps its directory and its variables from one command to the next."""

    def __init__(self, home: Path, **variables: str) -> None:
        self._state = home.with_name(f"{home.name}-shell")
        self._state.mkdir()
        (self._state / "directory").write_text(str(home), encoding="utf-8")
        self._environment = clean_environment() | variables

    def run(self, command: str) -> str:
        """Run a command; return what it prints, on either stream."""
        state = shlex.quote(str(self._state))
        script = (
            f'set -a\ncd "$(cat {state}/directory)"\n[ ! -e {state}/variables ] || . {state}/variables\n{command}\n'
            f"status=$?\npwd > {state}/directory\nexport -p > {state}/variables\nexit $status"
        )
        return run_in_bash(script, self._environment, self._state)


def same(output: str, shown: str) -> bool:
    """Return whether an output matches the one on the page, apart from parts that differ from run to run."""
    return _normal(output) == _normal(shown)


def _normal(text: str) -> str:
    text = normal(text)
    for pattern, replacement in _VARYING:
        text = re.sub(pattern, replacement, text)
    return text
