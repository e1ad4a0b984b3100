"""Where captions go: standard output, or a file that a later run can go on with.

Knows bytes and records; knows nothing of what a record says. A file gets all records of a photo at
once, when everything about the photo is done, and straight from this process to the system: a kill
loses nothing but the photos in work.
"""

import contextlib
import io
import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from captioner.command_line.formats import Format, Record

ENCODING, ON_BAD_NAMES = "utf-8", "surrogateescape"
"""Paths go out as they came in, whatever they hold."""


class OutputError(Exception):
    """Captions cannot be written any more; says where to, and why."""


@dataclass(frozen=True)
class Recorded:
    """What an output file holds already."""

    photos: Counter[str] = field(default_factory=Counter)
    """How often all records of a photo are there, by its name in the format."""
    end: int = 0
    """Where in the file the last of them ends, in bytes; what comes after is incomplete."""


class StandardOutput:
    """Writes records to standard output, each as soon as it is there."""

    keeps_failures = True
    """A photo that was captioned is written, also if something else about it failed."""

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
            OutputError: the disk is full, or something else is the matter with it.
            ValueError: its encoding lacks a letter of the text.
        """
        try:
            with _standard_output_errors():
                sys.stdout.write(text)
                sys.stdout.flush()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"standard output cannot be given it in {error.encoding}; use --output"
            ) from error

    def close(self) -> None:
        """Leave it open: it is not ours."""


class OutputFile:
    """Writes records to a file, unbuffered, from a place on."""

    keeps_failures = False
    """A photo is written when all about it is done: one that failed shall be tried again."""

    def __init__(self, path: Path, header: str, recorded: Recorded) -> None:
        """Open the file, cut off what is incomplete, and write the header if nothing is left.

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
        """Write the records of a photo; all, or where the disk is full, none.

        Raises:
            BrokenPipeError: the file is a pipe, and the reader is gone.
            OutputError: the disk is full, or something else is the matter with it.
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
    """Let go what was written, so that the interpreter need not at its end.

    Raises:
        BrokenPipeError, OutputError: as StandardOutput.write.
    """
    if sys.stdout is not None:
        with _standard_output_errors():
            sys.stdout.flush()


def examine_output(path: Path, form: Format, resume: bool, overwrite: bool) -> Recorded:
    """Look at an output file before anything is written to it.

    Raises:
        FileNotFoundError: its folder does not exist.
        OSError: it cannot be read.
        ValueError: it may not be written to, and what to do.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} for {path.name}; make it first")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name a file")
    if overwrite or not path.exists() or (path.is_file() and not path.stat().st_size):
        return Recorded()
    if not path.is_file():  # a pipe or a device: there is nothing in it to lose
        if resume:
            raise ValueError(f"{path} is no file that could be gone on with")
        return Recorded()
    if not resume:
        raise ValueError(f"{path} exists: --resume goes on with it, --overwrite begins it anew")
    with path.open("rb") as file:
        return _read_back(file, form, path)


def _read_back(file: BinaryIO, form: Format, path: Path) -> Recorded:
    """Find the photos of which all records are there, and where the last of them ends."""
    done: Counter[str] = Counter()
    begun: list[Record] = []  # the records so far of the photo that is being read
    start = end = 0  # of these records
    header = form.header
    for number, (text, record_end) in enumerate(_records(file, form), start=1):
        if number == 1 and header:
            if text != header:
                raise _foreign(path, number, "another line stands where the columns are named")
            start = end = record_end
            continue
        try:
            record = form.read(text)
        except ValueError as error:
            raise _foreign(path, number, str(error)) from error
        if begun and _is_next_photo(record, begun, form):
            done[begun[0].photo] += 1
            begun, start = [], end
        begun.append(record)
        end = record_end
    if len(begun) == form.most_records:
        done[begun[0].photo] += 1
        start = end
    if not end:
        _check_cut_off(file, form, path)
    return Recorded(done, start)


def _is_next_photo(record: Record, begun: list[Record], form: Format) -> bool:
    """Whether a record is of another answer than those before it; of the same photo, perhaps."""
    return (
        record.photo != begun[0].photo
        or len(begun) == form.most_records
        or record.key in {other.key for other in begun}
    )


def _records(file: BinaryIO, form: Format) -> Iterator[tuple[str, int]]:
    """Each whole record with the place where it ends, in bytes; not one that was cut off."""
    record, end = b"", 0
    for line in file:
        record, end = record + line, end + len(line)
        open_quotes = form.multiline and record.count(b'"') % 2
        if line.endswith(b"\n") and not open_quotes:
            yield record.decode(ENCODING, ON_BAD_NAMES), end
            record = b""


def _check_cut_off(file: BinaryIO, form: Format, path: Path) -> None:
    """Refuse a file without any record that is not the first one of ours, cut off."""
    file.seek(0)
    beginning = file.read(io.DEFAULT_BUFFER_SIZE).decode(ENCODING, ON_BAD_NAMES)
    if not form.may_begin(beginning):
        raise _foreign(path, 1, "it is cut off")


def _foreign(path: Path, number: int, reason: str) -> ValueError:
    return ValueError(
        f"{path} cannot be gone on with: record {number} is none that this command would have "
        f"written with these options ({reason}); name another file, or --overwrite"
    )


@contextlib.contextmanager
def _output_errors(name: str) -> Iterator[None]:
    """Tell errors of the output from others; a reader that is gone stays a BrokenPipeError."""
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
        # The interpreter flushes once more at its end: give it a place to.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        raise
