"""Whatever prevents a program from starting, the error names the cause; the locale does not prevent a start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pexecutor import Context, HandlerFailedError

from ..conftest import Lab, task


def script(path: Path, text: str | bytes, mode: int = 0o755) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(mode)
    return path


def elf_of_another_machine(path: Path) -> Path:
    """Write a program for this machine, except for the number that identifies the machine type."""
    content = bytearray(Path("/bin/true").read_bytes())
    content[18:20] = b"\xf3\x00" if content[18:20] != b"\xf3\x00" else b"\x3e\x00"
    return script(path, bytes(content))


def elf_without_its_loader(path: Path) -> Path:
    content = Path("/bin/true").read_bytes()
    at = content.index(b"/lib")
    return script(path, content[:at] + b"/bil" + content[at + 4 :])


def directory(path: Path) -> Path:
    path.mkdir()
    return path


def link_to_nowhere(path: Path) -> Path:
    path.symlink_to(path.with_name("nowhere"))
    return path


CULPRITS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "CRLF": (lambda it: script(it, "#!/bin/sh\r\necho\r\n"), r"interpreter '/bin/sh\\r': .*Windows line ends"),
    "no interpreter": (lambda it: script(it, "#!/no/such/python -u\n"), "interpreter /no/such/python, which does not"),
    "interpreter is a directory": (lambda it: script(it, "#!/tmp\n"), "interpreter /tmp, which is not executable"),
    "interpreter may not run": (
        lambda it: script(it, "#! /etc/passwd\n"),
        "interpreter /etc/passwd, which is not exec",
    ),
    "no loader": (elf_without_its_loader, "dynamic loader"),
    "another machine": (elf_of_another_machine, "built for another processor"),
    "no program": (lambda it: script(it, "echo no first line\n"), "begins with #!"),
    "empty": (lambda it: script(it, ""), "is empty"),
    "directory": (directory, "is a directory"),
    "not executable": (lambda it: script(it, "#!/bin/sh\n", 0o644), "is not executable"),
    "missing": (lambda it: it, "No such file"),
    "in a missing directory": (lambda it: it / "x", "No such file"),
    "below a file": (lambda it: script(it, "") / "x", "Not a directory"),
    "link": (link_to_nowhere, "symbolic link that leads nowhere"),
}


@pytest.mark.parametrize("culprit", CULPRITS)
async def test_the_culprit_is_named(lab: Lab, context: Context, tmp_path: Path, culprit: str) -> None:
    make, reason = CULPRITS[culprit]
    program = make(tmp_path / "the program")
    with pytest.raises(HandlerFailedError, match=reason) as failed:
        await lab.make(command=[str(program)]).run(context, task())
    assert str(failed.value).startswith(f"cannot start {program}: ")
    assert not failed.value.retryable


async def test_a_program_that_is_in_no_directory_of_the_path(lab: Lab, context: Context) -> None:
    with pytest.raises(HandlerFailedError, match=r"^cannot start nope: no program .* in PATH \(/usr/bin:/bin\)$"):
        await lab.make(command=["nope"]).run(context, task())


async def test_a_program_of_the_path_is_named_by_its_path(lab: Lab, context: Context, tmp_path: Path) -> None:
    script(tmp_path / "it", "#!/no/such\n")
    with pytest.raises(HandlerFailedError, match=f"^cannot start {tmp_path}/it: its first line"):
        await lab.make(command=["it"], env={"PATH": f"/nowhere:{tmp_path}"}).run(context, task())


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda it: it.rmdir(), "No such file or directory"),
        (lambda it: (it.rmdir(), it.touch()), "not a directory"),
    ],
    ids=["gone", "replaced"],
)
async def test_the_directory_is_named_when_it_is_the_culprit(
    lab: Lab, context: Context, tmp_path: Path, spoil: Callable[[Path], Any], reason: str
) -> None:
    here = directory(tmp_path / "here")
    command = lab.make(command=["true"], cwd=str(here))
    spoil(here)
    with pytest.raises(HandlerFailedError, match=f"^cannot start in the directory {here}: .*{reason}"):
        await command.run(context, task())


async def test_a_program_that_is_being_written_may_be_started_later(lab: Lab, context: Context, tmp_path: Path) -> None:
    program = script(tmp_path / "it", Path("/bin/true").read_bytes())  # noqa: ASYNC240
    with program.open("ab"), pytest.raises(HandlerFailedError, match="another program is writing to it") as failed:
        await lab.make(command=[str(program)]).run(context, task())
    assert failed.value.retryable


async def test_too_many_bytes_of_arguments(lab: Lab, context: Context) -> None:
    command = lab.make(command=["true", "{text}"], env={"PADDING": "x" * 140_000})
    with pytest.raises(
        HandlerFailedError, match=r"^cannot start /usr/bin/true: its arguments.* too long .*\d{6} bytes"
    ):
        await command.run(context, task(text="x"))


IN_ANOTHER_LOCALE = """
import sys, trio
from pexecutor import Context, Task, load_catalogue
assert sys.getfilesystemencoding() == "ascii", sys.getfilesystemencoding()

async def main():
    import os
    names = [name for name in os.listdir(os.fsencode(sys.argv[1]))]
    settings = {
        "it": {
            "command": ["./prög", "ä", "{word}"],
            "env": {"VALUE": "é", "PATH": "/usr/bin:/bin"},
            "inherit_env": ["FROM_US"],
            "cwd": os.fsencode(sys.argv[1]).decode("utf-8"),
        },
    }
    module = os.path.join(sys.argv[1], os.fsdecode("módulo.py".encode()))
    catalogue = load_catalogue(declared=settings, modules=[module], environment=os.environ)
    context = Context("000001-1", "Zoë ☃")
    await catalogue["it"].run(context, Task("Zoë ☃", handler="it", params={"word": "ß"}))
    sys.stdout.buffer.write(context.output.snapshot().stdout.encode())
    context = Context("000001-2", "b")
    result = await catalogue["greet"].run(context, Task("b", handler="greet", params={"who": "Zoë"}))
    sys.stdout.buffer.write((result + context.output.snapshot().stdout).encode())

trio.run(main)
"""

GREETS = """
import pexecutor

@pexecutor.handler(process=True)
def greet(context, *, who: str) -> str:
    print(f"hello {who} ☃")
    return f"hello {who}\\n"
"""

SHOWS_ALL = '#!/bin/sh\necho "$1 $2 $VALUE $FROM_US $PEXECUTOR_TASK_NAME $(basename "$PWD")"\n'


@pytest.mark.parametrize("locale", ["C", "POSIX"])
def test_a_locale_without_utf_8_keeps_nothing_from_running(tmp_path: Path, locale: str) -> None:
    here = directory(tmp_path / "größe")
    script(here / "prög", SHOWS_ALL)
    (here / "módulo.py").write_text(GREETS)
    (tmp_path / "main.py").write_text(IN_ANOTHER_LOCALE)
    ended = subprocess.run(
        [sys.executable, tmp_path / "main.py", here],
        env={
            "LC_ALL": locale,
            "PYTHONUTF8": "0",
            "PYTHONCOERCECLOCALE": "0",
            "FROM_US": "ñ",
            "PATH": os.environ["PATH"],
        },
        capture_output=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr.decode()
    assert ended.stdout.decode() == "ä ß é ñ Zoë ☃ größe\nhello Zoë\nhello Zoë ☃\n"


async def test_text_that_no_locale_can_express_arrives_as_it_was_inherited(lab: Lab, context: Context) -> None:
    lab.environment["RAW"] = "caf\udce9"
    shows = "import json, os; print(json.dumps(list(os.environb[b'RAW'])))"
    await lab.python(shows, inherit_env=["PATH", "RAW"]).run(context, task())
    assert json.loads(context.output.snapshot().stdout) == list(b"caf\xe9")
