"""The photos that are asked for: by their names, by their folder, or on standard input.

Knows names of files; opens no photo. Nothing is listed before its turn, so that photos without
number take no memory.
"""

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff")
"""What is taken for a photo in a folder."""

STANDARD_INPUT = "-"
"""The argument that stands for the paths on standard input."""


class Listed(NamedTuple):
    """A photo that is asked for."""

    path: str
    error: OSError | ValueError | None = None
    """Why there is nothing to be had by this name, where that is known already."""
    picture_name: str = ""
    """What files with pictures of it begin with, where there shall be any."""


def list_photos(arguments: Iterable[str]) -> Iterator[Listed]:
    """List the photos one after the other, each when its turn comes.

    Args:
        arguments: paths of photos; folders, for the photos in them in order of their names; `-`
            for paths of either kind on standard input, one a line, read as they come.
    """
    for argument in arguments:
        if argument == STANDARD_INPUT:
            yield from _list_standard_input()
        else:
            yield from _expand(argument)


def count_photos(arguments: Iterable[str]) -> int | None:
    """How many `list_photos` will list; None where only standard input knows."""
    total = 0
    for argument in arguments:
        if argument == STANDARD_INPUT:
            return None
        total += sum(1 for _ in _expand(argument))
    return total


def is_one_photo(arguments: list[str]) -> bool:
    """Whether one photo alone is asked for, by its own name."""
    if len(arguments) != 1 or arguments[0] == STANDARD_INPUT:
        return False
    try:
        return not Path(arguments[0]).is_dir()
    except OSError:
        return True


def _list_standard_input() -> Iterator[Listed]:
    if sys.stdin is None:
        yield Listed("standard input", ValueError("it is closed"))
        return
    try:
        for line in sys.stdin.buffer:
            if path := os.fsdecode(line.rstrip(b"\r\n")):
                yield from _expand(path)
    except OSError as error:
        yield Listed("standard input", error)


def _expand(path: str) -> Iterator[Listed]:
    try:
        if not Path(path).is_dir():
            yield Listed(path)
            return
        names = _photo_names(path)
    except OSError as error:
        yield Listed(path, error)
        return
    if not names:
        reason = f"{path} is a folder without photos: no file in it ends in one of "
        yield Listed(path, ValueError(reason + " ".join(PHOTO_SUFFIXES)))
    for name in names:
        yield Listed(str(Path(path, name)))


def _photo_names(folder: str) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(
            entry.name
            for entry in entries
            if entry.name.lower().endswith(PHOTO_SUFFIXES) and entry.is_file()
        )
