"""The standard streams of a command: what fails in them is one line and a status, whatever the command.

Every command but ``serve`` runs inside ``stream_failures``, so a command prints and does not look whether that works.

* The encoding of a stream may lack a character, and an argument may hold bytes that are not text: both are printed as
  escapes, as in ``caf\\xe9``.
* A stream that the caller closed is opened on the null device, in the wrong direction. So its number is not given to
  a socket, and its use fails as that of a closed one.
* Standard error is where failures are reported. When it fails itself, the exit status is all that is left to say.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import Final

import click

from ..errors import PexecutorError
from .record_text import one_line

CHUNK_BYTES: Final = 64 * 1024

STDIN: Final = 0
STDOUT: Final = 1
STDERR: Final = 2


class StreamError(PexecutorError):
    """The world, a while: the output cannot be written, or the input cannot be read; the message says why."""


class OutputClosedError(StreamError):
    """The reader of the output has gone, as that of ``| head`` does."""


def prepare_streams() -> None:
    """Make the standard streams usable by every command; call it before anything is opened."""
    _reserve(STDIN, os.O_WRONLY)
    if _reserve(STDOUT, os.O_RDONLY):
        sys.stdout = open(STDOUT, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if _reserve(STDERR, os.O_WRONLY):
        sys.stderr = open(STDERR, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _reserve(number: int, flags: int) -> bool:
    """Open the null device under this number if it is closed; whether it was."""
    try:
        os.fstat(number)
    except OSError:
        opened = os.open(os.devnull, flags)
        if opened != number:
            os.dup2(opened, number)
            os.close(opened)
        return True
    return False


@contextmanager
def stream_failures() -> Iterator[None]:
    """Raise what goes wrong with the output as an error that has an exit status, before ``click`` handles it.

    Raises:
        StreamError: something could not be written or opened.
        Abort: Ctrl-C was pressed.
    """
    try:
        yield
    except BrokenPipeError as error:
        raise OutputClosedError("the reader of the output has gone") from error
    except OSError as error:
        reason = error.strerror or str(error)
        where = "cannot write the output" if error.filename is None else os.fsdecode(error.filename)
        raise StreamError(f"{where}: {reason}") from error
    except KeyboardInterrupt as error:
        if os.isatty(STDERR):
            notify("")  # the terminal has shown ^C in the line
        raise click.Abort from error


def flush_output() -> None:
    """Write what is still in the buffer of standard output.

    Raises:
        StreamError: it cannot be written.
    """
    if sys.stdout is not None:  # a server may have none
        with stream_failures():
            sys.stdout.flush()


def discard_output() -> None:
    """Drop what is still in the buffer of standard output: the interpreter's end would try once more, and complain."""
    _discard(STDOUT)


def _discard(number: int) -> None:
    with suppress(OSError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, number)
        os.close(null)


def report_failure(message: str) -> None:
    """Print a message on standard error, in its lines."""
    for line in f"pexecutor: {message}".splitlines():
        notify(line)


def notify(line: str) -> None:
    """Print a line on standard error, without control characters; if that fails, it is lost."""
    try:
        click.echo(one_line(line), err=True)
    except OSError:
        _discard(STDERR)


def read_input() -> Iterator[bytes]:
    """Read standard input, in pieces as they come.

    Raises:
        StreamError: it cannot be read.
    """
    try:
        while chunk := os.read(STDIN, CHUNK_BYTES):
            yield chunk
    except OSError as error:
        raise StreamError(f"cannot read standard input: {error.strerror}") from error
