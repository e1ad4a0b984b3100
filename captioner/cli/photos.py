"""From the paths on the command line to the model's answers, batch by batch.

Knows paths and the model; knows nothing of how answers are written. Paths are listed only as they
are needed, so that any number of photos takes little memory.
"""

import io
import os
import select
import sys
import threading
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from PIL import Image

from captioner.batches import BATCH_SIZE, Captions, caption_readable, map_batches
from captioner.captions import Caption
from captioner.model import ImageCaptioningModel
from captioner.options import DecodingOptions

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff")
"""Files with these endings are the photos of a folder."""

STANDARD_INPUT = "-"
"""The argument that stands for the paths on standard input."""

BLANK_PHOTO_SIDE = 32


class Listed(NamedTuple):
    """A path that was given, or found in a folder."""

    path: str
    error: OSError | ValueError | None = None
    """Why there is no photo at this path, if that is already known."""
    picture_name: str = ""
    """What the names of pictures of this photo begin with, if there are any."""


class Answer(NamedTuple):
    """The model's captions of a photo."""

    photo: Listed
    captions: list[Caption]
    """Generated, best first; at least one."""
    scored: Caption | None
    """The user's own caption, if there is one."""

    @property
    def pictured(self) -> Caption:
        """The caption that pictures show: the user's, or else the model's best."""
        return self.scored or self.captions[0]


class Failure(NamedTuple):
    """Why a photo has no captions."""

    photo: Listed
    error: OSError | ValueError


def list_photos(arguments: Iterable[str]) -> Iterator[Listed | None]:
    """List photos one at a time.

    Args:
        arguments: paths of photos; folders, for the photos in them and in the folders below;
            `-` for paths of either kind on standard input, one a line, read as they come.

    Yields:
        The photos; None before a wait for standard input.
    """
    for argument in arguments:
        if argument == STANDARD_INPUT:
            yield from _list_standard_input()
        else:
            yield from _expand(argument)


def count_photos(arguments: Iterable[str]) -> int | None:
    """How many photos `list_photos` will list; None if that depends on standard input."""
    total = 0
    for argument in arguments:
        if argument == STANDARD_INPUT:
            return None
        total += sum(1 for _ in _expand(argument))
    return total


def is_one_photo(arguments: list[str]) -> bool:
    """Whether the arguments are the path of a single photo."""
    if len(arguments) != 1 or arguments[0] == STANDARD_INPUT:
        return False
    try:
        return not Path(arguments[0]).is_dir()
    except OSError:
        return True


def caption_batches(
    model: ImageCaptioningModel,
    photos: Iterable[Listed | None],
    options: DecodingOptions,
    own_caption: str | None = None,
    batch_size: int = BATCH_SIZE,
) -> Generator[Answer | Failure, None, None]:
    """Caption photos, with only a few batches of them in memory.

    Args:
        photos: as from `list_photos`; those before a None are captioned at once.
        own_caption: the user's, to be scored for every photo.

    Yields:
        One result for each photo, in order.
    """

    def caption(batch: list[Listed], stopped: threading.Event) -> list[Answer | Failure]:
        given = [photo.error or photo.path for photo in batch]
        results = caption_readable(model, given, options, stopped, own_caption)
        return [
            Answer(photo, *result) if isinstance(result, Captions) else Failure(photo, result)
            for photo, result in zip(batch, results, strict=True)
        ]

    return map_batches(caption, photos, batch_size)


def check_words(
    model: ImageCaptioningModel, options: DecodingOptions, own_caption: str | None = None
) -> None:
    """Check, before any photo is read, that the model can use the words it is given.

    Raises:
        ValueError: it cannot.
    """
    model.check_options(options)
    if own_caption is not None:
        blank = Image.new("RGB", (BLANK_PHOTO_SIDE, BLANK_PHOTO_SIDE))
        model.score_caption(blank, own_caption, options)


def unknown_bans(model: ImageCaptioningModel, options: DecodingOptions) -> list[str]:
    """The banned words that the model does not know, and so never uses anyway."""
    return [word for word in options.banned_words if word.lower() not in model.vocabulary]


def _list_standard_input() -> Iterator[Listed | None]:
    if sys.stdin is None:
        yield Listed("standard input", ValueError("it is closed"))
        return
    try:
        lines = _open_standard_input()
        while True:
            if _must_wait(lines):
                yield None
            line = next(lines, b"")
            if not line:
                return
            if path := os.fsdecode(line.rstrip(b"\r\n")):
                yield from _expand(path)
    except OSError as error:
        yield Listed("standard input", error)


def _open_standard_input() -> IO[bytes]:
    """Standard input without a buffer, in which lines could wait that `select` knows nothing of."""
    try:
        return open(sys.stdin.fileno(), "rb", buffering=0, closefd=False)
    except io.UnsupportedOperation:  # it is not a file
        return sys.stdin.buffer


def _must_wait(file: IO[bytes]) -> bool:
    """Whether nothing can be read at present, where the system can tell."""
    try:
        return not select.select([file], [], [], 0)[0]
    except (OSError, ValueError):  # on Windows, and of what is not a file
        return False


def _expand(path: str) -> Iterator[Listed]:
    """A photo itself, or the photos of a folder."""
    try:
        is_folder = Path(path).is_dir()
    except OSError as error:
        yield Listed(path, error)
        return
    if not is_folder:
        yield Listed(path)
        return
    empty = True
    for photo in _search_folder(path):
        empty = False
        yield photo
    if empty:
        reason = f"{path} is a folder without photos: no file in it ends in one of "
        yield Listed(path, ValueError(reason + " ".join(PHOTO_SUFFIXES)))


def _search_folder(folder: str) -> Iterator[Listed]:
    """The photos in a folder, then those in each folder below, in order of their names.

    Hidden folders are skipped, and so are links to folders, which may form loops.
    """
    waiting = [folder]
    while waiting:
        inside = waiting.pop()
        try:
            photos, folders = _read_folder(inside)
        except OSError as error:
            yield Listed(inside, error)
            continue
        for name in photos:
            yield Listed(str(Path(inside, name)))
        waiting += [str(Path(inside, name)) for name in reversed(folders)]


def _read_folder(folder: str) -> tuple[list[str], list[str]]:
    """The sorted names of the photos and of the folders in a folder."""
    photos, folders = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if not entry.name.startswith("."):
                    folders.append(entry.name)
            elif entry.name.lower().endswith(PHOTO_SUFFIXES) and _is_file(entry):
                photos.append(entry.name)
    return sorted(photos), sorted(folders)


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # such as a link to itself: reading it says what is wrong
        return True
