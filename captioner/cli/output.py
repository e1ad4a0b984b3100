"""Where captions go: standard output, or a file that a later run can resume; and messages.

Knows bytes and records; knows nothing of what a record says. A file gets all records of a photo at
once, when everything about the photo is done, and without a buffer in this process: a run that is
killed loses only the photos that it was working on.
"""

import contextlib
import io
import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NoReturn

from tqdm import tqdm

from captioner.cli.formats import JsonLines

ENCODING, ON_BAD_NAMES = "utf-8", "surrogateescape"
"""Paths are written byte for byte as they were read, even those that are not valid text."""


def print_error(message: str) -> None:
    """Print a message to stderr, on a line of its own above the progress bar, if there is one."""
    if sys.stderr is not None:
        tqdm.write(f"captioner: {message}", file=sys.stderr)


def wants_progress(to_file: bool) -> bool:
    """Whether stderr is a terminal, and the captions do not go to that terminal themselves."""
    if sys.stderr is None or not sys.stderr.isatty():
        return False
    return to_file or sys.stdout is None or not sys.stdout.isatty()


def progress_bar(total: int | None, shown: bool) -> "tqdm[NoReturn]":
    """A bar that counts photos; to be closed.

    Args:
        total: how many there will be, if known.
        shown: False makes an invisible bar.
    """
    return tqdm(total=total, disable=not shown, unit=" photos", file=sys.stderr, dynamic_ncols=True)


class OutputError(Exception):
    """Captions cannot be written any more; says where to, and why."""


@dataclass(frozen=True)
class Recorded:
    """What an output file already holds."""

    photos: Counter[str] = field(default_factory=Counter)
    """How often all records of a photo are there, by its path."""
    end: int = 0
    """Where the last of them ends in the file, in bytes; what follows is incomplete."""


class StandardOutput:
    """Writes records to standard output, without delay."""

    keeps_failures = True
    """A captioned photo is written even if its pictures failed."""

    def __init__(self, header: str) -> None:
        """Write the header.

        Raises:
            BrokenPipeError, OutputError: as `write`.
            ValueError: there is no standard output.
        """
        if sys.stdout is None:
            raise ValueError("standard output is closed; name a file with --output")
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors=ON_BAD_NAMES)
        self.write(header)

    def write(self, text: str) -> None:
        """Write the records of a photo.

        Raises:
            BrokenPipeError: the reader is gone.
            OutputError: it cannot be written, such as when the disk is full.
            ValueError: its encoding lacks a character of the text.
        """
        try:
            with _standard_output_errors():
                sys.stdout.write(text)
                sys.stdout.flush()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"standard output cannot encode it in {error.encoding}; use --output"
            ) from error

    def close(self) -> None:
        """Do nothing: standard output belongs to the process."""


class OutputFile:
    """Appends records to a file, unbuffered."""

    keeps_failures = False
    """A photo is written when its pictures are too: one that failed is tried again."""

    def __init__(self, path: Path, header: str, recorded: Recorded) -> None:
        """Open the file, cut off an incomplete record, and write the header if nothing is left.

        Raises:
            BrokenPipeError, OutputError: as `write`.
            OSError: it cannot be opened.
        """
        self._name = str(path)
        self._file = path.open("r+b" if recorded.end else "wb", buffering=0)
        self._end = recorded.end
        if self._end:
            self._file.truncate(self._end)
            self._file.seek(self._end)
        else:
            self.write(header)

    def write(self, text: str) -> None:
        """Write the records of a photo: all, or none if that fails.

        Raises:
            BrokenPipeError: the file is a pipe, and the reader is gone.
            OutputError: it cannot be written, such as when the disk is full.
        """
        rest = memoryview(text.encode(ENCODING, ON_BAD_NAMES))
        size = len(rest)
        try:
            with _output_errors(self._name):
                while rest:
                    rest = rest[self._file.write(rest) :]
        except OutputError:
            with contextlib.suppress(OSError):
                self._file.truncate(self._end)
            raise
        self._end += size

    def close(self) -> None:
        """Close the file."""
        self._file.close()


Output = StandardOutput | OutputFile


def flush_standard_output() -> None:
    """Flush standard output before the interpreter does, which could not report an error.

    Raises:
        BrokenPipeError, OutputError: as StandardOutput.write.
    """
    if sys.stdout is not None:
        with _standard_output_errors():
            sys.stdout.flush()


def examine_output(path: Path, resumed: JsonLines | None, overwrite: bool) -> Recorded:
    """Look at an output file before anything is written to it.

    Args:
        resumed: how its records were written, if it is to be resumed.

    Raises:
        FileNotFoundError: its folder does not exist.
        OSError: it cannot be read.
        ValueError: it must not be written to, and what to do instead.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} for {path.name}; make it first")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name a file")
    if overwrite or not path.exists() or (path.is_file() and not path.stat().st_size):
        return Recorded()
    if not path.is_file():  # a pipe or a device: there is nothing in it to lose
        if resumed:
            raise ValueError(f"{path} is not a regular file, and so cannot be resumed")
        return Recorded()
    if not resumed:
        raise ValueError(f"{path} exists: --overwrite replaces it, --resume continues JSON Lines")
    with path.open("rb") as file:
        return _read_back(file, resumed, path)


def _read_back(file: BinaryIO, form: JsonLines, path: Path) -> Recorded:
    """Find the photos whose records are all there, and where the last of them ends."""
    done: Counter[str] = Counter()
    photo, rank, start, end = "", 0, 0, 0  # of the photo being read; its records start at `start`
    for number, line in enumerate(file, start=1):  # split at \n alone
        if not line.endswith(b"\n"):  # cut off
            break
        try:
            record = form.read(line.decode(ENCODING, ON_BAD_NAMES))
            if record.rank != 1 and record != (photo, rank + 1):
                raise ValueError("its rank is not the next one")
        except ValueError as error:
            raise _foreign(path, number, str(error)) from error
        if record.rank == 1:
            done[photo] += end > start
            start = end
        photo, rank = record
        end += len(line)
        if rank == form.num_captions:
            done[photo] += 1
            photo, rank, start = "", 0, end
    if not end:
        _check_cut_off(file, form, path)
    return Recorded(+done, start)


def _check_cut_off(file: BinaryIO, form: JsonLines, path: Path) -> None:
    """Refuse a file without a complete record, unless it begins as a record does."""
    file.seek(0)
    beginning = file.read(io.DEFAULT_BUFFER_SIZE).decode(ENCODING, ON_BAD_NAMES)
    if not form.may_begin(beginning):
        raise _foreign(path, 1, "it is cut off")


def _foreign(path: Path, number: int, reason: str) -> ValueError:
    return ValueError(
        f"{path} cannot be resumed: line {number} is not one that this command would have written "
        f"with these options ({reason}); name another file, or --overwrite"
    )


@contextlib.contextmanager
def _output_errors(name: str) -> Iterator[None]:
    """Turn errors of the output into OutputError, except for a reader that went away."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"{name} cannot be written: {error.strerror or error}") from error


@contextlib.contextmanager
def _standard_output_errors() -> Iterator[None]:
    try:
        with _output_errors("standard output"):
            yield
    except (BrokenPipeError, OutputError):
        # The interpreter flushes again when it exits, which must not fail.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        raise
