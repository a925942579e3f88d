"""Find out why a program could not be started, and name the actual cause.

The system has one error number for many causes: "No such file" may refer to the program, the interpreter in its first
line, its dynamic loader, or its working directory.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from ..contract import HandlerFailedError

_PASSING: Final = {errno.ETXTBSY, errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EINTR, errno.EHOSTDOWN}
"""Error numbers of causes that may pass, so that a retry may succeed."""

_HEAD_BYTES: Final = 256
_LINE_END: Final = b"\r"


def start_error(
    error: OSError | ValueError, argv: Sequence[bytes], environment: Mapping[bytes, bytes], directory: bytes | None
) -> HandlerFailedError:
    """Return the failure of an attempt whose program could not be started.

    Parameters:
        error: the exception of the start.
        argv, environment, directory: the program with its arguments, its environment and its working directory.
    """
    if not isinstance(error, OSError):
        return HandlerFailedError(f"cannot start {_shown(argv[0])}: {error}", retryable=False)
    if directory is not None and (why := _why_not_in(directory)) is not None:
        return HandlerFailedError(f"cannot start in the directory {_shown(directory)}: {why}", retryable=False)
    program = _found(argv[0], environment, directory)
    why = _why_not(error, program, argv, environment)
    culprit = _shown(argv[0] if program is None else program)
    return HandlerFailedError(f"cannot start {culprit}: {why}", retryable=error.errno in _PASSING)


def _why_not_in(directory: bytes) -> str | None:
    """Return why no program can start in a directory, or ``None``."""
    try:
        if not stat.S_ISDIR(_path(directory).stat().st_mode):
            return "it is not a directory"
    except OSError as error:
        return _text(error.errno)
    return None if os.access(directory, os.X_OK) else "permission denied"


def _found(program: bytes, environment: Mapping[bytes, bytes], directory: bytes | None) -> Path | None:
    """Return the path of a program that exists, even if it cannot be started, or ``None``."""
    folders = [directory or b"."] if b"/" in program else environment.get(b"PATH", os.defpath.encode()).split(b":")
    paths = [_path(folder) / _path(program) for folder in folders]
    there = [path for path in paths if path.is_symlink() or _exists(path)]
    startable = [path for path in there if os.access(path, os.X_OK) and not path.is_dir()]
    return next(iter([*startable, *there]), None)


def _exists(path: Path) -> bool:
    with suppress(OSError):
        return path.exists()
    return False  # a directory of the path may not be entered


def _why_not(error: OSError, program: Path | None, argv: Sequence[bytes], environment: Mapping[bytes, bytes]) -> str:
    if error.errno == errno.E2BIG:
        size = sum(map(len, argv)) + sum(len(name) + len(value) for name, value in environment.items())
        return f"its arguments and environment are too long for the system ({size} bytes)"
    if program is None:
        return _why_not_found(error, argv[0], environment)
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR | errno.ELOOP:
            return _why_not_interpreted(program, error)
        case errno.EACCES | errno.EPERM:
            return _why_not_permitted(program, error)
        case errno.ENOEXEC:
            return _why_no_program(program)
        case errno.ETXTBSY:
            return "another program is writing to it"
    return _text(error.errno)


def _why_not_found(error: OSError, program: bytes, environment: Mapping[bytes, bytes]) -> str:
    if error.errno == errno.ENOENT and b"/" not in program:
        path = environment.get(b"PATH")
        return f"no program of this name is in {'the default PATH' if path is None else f'PATH ({_shown(path)})'}"
    return _text(error.errno)


def _why_not_interpreted(program: Path, error: OSError) -> str:
    """Return why an existing program is reported as missing: the system lacks something that it needs to run it."""
    if not program.exists():
        return "it is a symbolic link that leads nowhere"
    interpreter = _interpreter_of(program)
    if interpreter is None:
        if _head(program).startswith(b"\x7fELF"):
            return "its dynamic loader is not installed"
        return _text(error.errno)
    if interpreter.endswith(_LINE_END):
        return (
            f"its first line names the interpreter {_shown(interpreter)}: "
            "the file has Windows line ends (CRLF); save it with Unix line ends"
        )
    return f"its first line names the interpreter {_shown(interpreter)}, which does not exist"


def _why_not_permitted(program: Path, error: OSError) -> str:
    if program.is_dir():
        return "it is a directory"
    if not os.access(program, os.X_OK):
        return "it is not executable, or a directory of its path may not be entered (permission denied)"
    if _is_on_noexec(program):
        return "it is on a file system that is mounted with noexec"
    interpreter = _interpreter_of(program)
    if interpreter is not None and (_path(interpreter).is_dir() or not os.access(interpreter, os.X_OK)):
        return f"its first line names the interpreter {_shown(interpreter)}, which is not executable"
    return _text(error.errno)


def _is_on_noexec(program: Path) -> bool:
    with suppress(OSError):
        return bool(os.statvfs(program).f_flag & os.ST_NOEXEC)
    return False


def _why_no_program(program: Path) -> str:
    head = _head(program)
    if not head:
        return "it is empty or cannot be read"
    if head.startswith(b"\x7fELF"):
        return "it was built for another processor, or is damaged"
    return "it is neither a program nor a script whose first line begins with #!"


def _interpreter_of(program: Path) -> bytes | None:
    """Return the interpreter in the first line of a script, with a carriage return if the line ends with CRLF."""
    first, _, _ = _head(program).partition(b"\n")
    if not first.startswith(b"#!"):
        return None
    named = first[2:].strip(b" \t").replace(b"\t", b" ").partition(b" ")[0]
    return named or None


def _head(program: Path) -> bytes:
    with suppress(OSError), program.open("rb") as file:
        return file.read(_HEAD_BYTES)
    return b""


def _text(number: int | None) -> str:
    return os.strerror(number or 0)


def _path(name: bytes) -> Path:
    return Path(os.fsdecode(name))


def _shown(name: bytes | Path) -> str:
    """Return a file name as text, with control characters escaped."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return text if text.isprintable() else ascii(text)
