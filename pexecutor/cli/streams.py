"""The standard streams of a command. A failure of a stream is one line on standard error and an exit status.

Every command except ``serve`` runs inside ``stream_failures``, so a command prints without checking for errors.

* Characters that the encoding of a stream lacks, and bytes of arguments that are not text, are printed as escapes, as
  in ``caf\\xe9``.
* A stream that the caller has closed is opened on the null device, in the wrong direction. So no socket gets its
  number, and using the stream fails like using a closed stream.
* Failures are reported on standard error. If standard error fails, only the exit status reports the failure.
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
    """The output cannot be written, or the input cannot be read. The message says why; the caller acts next."""


class OutputClosedError(StreamError):
    """The reader of the output has closed the pipe, like ``| head`` does."""


def prepare_streams() -> None:
    """Make the standard streams usable. Call this before any file or socket is opened."""
    _reserve(STDIN, os.O_WRONLY)
    if _reserve(STDOUT, os.O_RDONLY):
        sys.stdout = open(STDOUT, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if _reserve(STDERR, os.O_WRONLY):
        sys.stderr = open(STDERR, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _reserve(number: int, flags: int) -> bool:
    """Open the null device under a descriptor number if the number is closed; return whether it was closed."""
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
    """Turn errors of output and files into errors that have an exit status, before ``click`` handles them.

    Raises:
        StreamError: the output could not be written, or a file could not be opened.
        Abort: the user pressed Ctrl-C.
    """
    try:
        yield
    except BrokenPipeError as error:
        raise OutputClosedError("the reader of the output has closed the pipe") from error
    except OSError as error:
        reason = error.strerror or str(error)
        where = "cannot write the output" if error.filename is None else os.fsdecode(error.filename)
        raise StreamError(f"{where}: {reason}") from error
    except KeyboardInterrupt as error:
        if os.isatty(STDERR):
            notify("")  # the terminal has printed ^C: begin a new line
        raise click.Abort from error


def flush_output() -> None:
    """Flush standard output.

    Raises:
        StreamError: the output cannot be written.
    """
    if sys.stdout is not None:  # it is None if a server was started with a closed standard output
        with stream_failures():
            sys.stdout.flush()


def discard_output() -> None:
    """Discard the buffer of standard output: otherwise the interpreter flushes it at exit and prints an error."""
    _discard(STDOUT)


def _discard(number: int) -> None:
    with suppress(OSError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, number)
        os.close(null)


def report_failure(message: str) -> None:
    """Print a message on standard error, line by line."""
    for line in f"pexecutor: {message}".splitlines():
        notify(line)


def notify(line: str) -> None:
    """Print a line on standard error, without control characters. If that fails, the line is lost."""
    try:
        click.echo(one_line(line), err=True)
    except OSError:
        _discard(STDERR)


def read_input() -> Iterator[bytes]:
    """Yield the chunks of standard input as they arrive.

    Raises:
        StreamError: standard input cannot be read.
    """
    try:
        while chunk := os.read(STDIN, CHUNK_BYTES):
            yield chunk
    except OSError as error:
        raise StreamError(f"cannot read standard input: {error.strerror}") from error
