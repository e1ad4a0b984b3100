"""The data sets of a stage: their names, and the photos of each in a split.

Knows configurations and how data sets are read; knows nothing of vocabularies or models.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from train.config import DataConfig, TrainingConfig
from train.data import CaptionedPhoto, Split, read_captions, read_splits


def load_split(config: DataConfig, split: Split, limit: int = 0) -> list[CaptionedPhoto]:
    """The photos of one split, of all data sets in turn. Arguments and errors as `load_sets`."""
    return [photo for photos in load_sets(config, split, limit).values() for photo in photos]


def load_sets(config: DataConfig, split: Split, limit: int = 0) -> dict[str, list[CaptionedPhoto]]:
    """The photos of one split by the name of their data set, in the caption files' order.

    Args:
        limit: only the first photos of each data set, this many; 0 gives all.

    Returns:
        Those data sets, in the configuration's order, that have photos in the split.

    Raises:
        FileNotFoundError: a caption file, a split list or a folder of photos is missing.
        ValueError: a file is not of its format, a data set has no photo in any split, a photo
            stands in two data sets, or no data set has a photo in this split.
    """
    found: dict[str, list[CaptionedPhoto]] = {}
    file_of: dict[str, Path] = {}
    for number, name in enumerate(name_sets(config.captions)):
        path = config.captions[number]
        photos = read_captions(path)
        split_of = read_splits(photos, config.splits[number] if config.splits else None)
        if config.splits and not split_of:
            raise ValueError(
                f"{config.splits[number]} names no photo of {path}; give --captions and --splits "
                "in the same order"
            )
        _claim(split_of, path, file_of)
        chosen = [photo for photo in photos if split_of.get(photo.name) == split]
        if chosen:
            found[name] = _complete(config, number, chosen[: limit or None])
    if not found:
        files = ", ".join(map(str, config.captions))
        raise ValueError(f"no photo of {files} is in the {split} split")
    return found


def name_sets(captions: Sequence[Path]) -> list[str]:
    """Names for data sets: the folders of their caption files, numbered where they are the same."""
    names: list[str] = []
    for path in captions:
        name = folder = path.absolute().parent.name
        number = 1
        while name in names:
            number += 1
            name = f"{folder}-{number}"
        names.append(name)
    return names


def _claim(names: Iterable[str], captions: Path, file_of: dict[str, Path]) -> None:
    """Note whose photos these are; ValueError if another data set has one of them."""
    for name in names:
        if file_of.setdefault(name, captions) is not captions:
            raise ValueError(
                f"photo {name} stands in both {file_of[name]} and {captions}; rename it, or leave "
                "it out of the splits of one of them"
            )


def _complete(
    config: DataConfig, number: int, photos: Sequence[CaptionedPhoto]
) -> list[CaptionedPhoto]:
    """Add to a data set's photos their files and how often training sees them."""
    folder, weight = None, 1.0
    if config.photos:
        folder = config.photos[number]
        if not folder.is_dir():
            raise FileNotFoundError(f"no such folder of photos: {folder}")
    if isinstance(config, TrainingConfig) and config.weights:
        weight = config.weights[number]
    return [
        replace(photo, path=None if folder is None else folder / photo.name, weight=weight)
        for photo in photos
    ]
