"""Captioned photos: reading, cleaning and splitting the data sets, and views of the photos.

Knows caption files, split lists and augmentation; knows nothing of models.
"""

import csv
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from captioner.images import load_image
from captioner.preprocessing import PreprocessConfig, to_tensor

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
VAL_SHARE = TEST_SHARE = 1 / 30
"""Of a data set without split lists: about Karpathy's shares of Flickr30k."""


@dataclass(frozen=True)
class CaptionedPhoto:
    """A photo's file name and what people wrote about it."""

    name: str
    captions: tuple[str, ...]
    path: Path | None = None
    """Its file; None where no folder of photos is given."""
    weight: float = 1.0
    """How often an epoch of training sees it, on average."""


def read_captions(path: Path) -> list[CaptionedPhoto]:
    """Read Flickr30k's `results.csv` or Flickr8k's `captions.txt`, in the file's order.

    Args:
        path: with the header `image_name| comment_number| comment` or the same with commas, or
            `image,caption`.

    Returns:
        One entry per photo, captions cleaned, empty ones dropped.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the header or a row is none of these.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no such caption file: {path}")
    lines = path.read_text(encoding="utf-8-sig").split("\n")  # splitlines would cut captions
    header = [column.strip() for column in re.split(r"[|,]", lines[0])]
    if header not in (["image_name", "comment_number", "comment"], ["image", "caption"]):
        raise ValueError(
            f"{path} must begin with 'image_name| comment_number| comment' or 'image,caption', "
            f"got {lines[0][:60] or 'an empty line'!r}"
        )
    split_row = _split_at_bars if "|" in lines[0] else _split_at_commas
    captions: dict[str, list[str]] = {}
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        name, text = split_row(line, len(header))
        if not name:
            raise ValueError(f"{path} line {number} is not a caption: {line[:80]!r}")
        captions.setdefault(name, [])
        if clean := clean_caption(text):
            captions[name].append(clean)
    return [CaptionedPhoto(name, tuple(texts)) for name, texts in captions.items() if texts]


def _split_at_bars(line: str, columns: int) -> tuple[str, str]:
    # One row of Flickr30k's file has lost its second bar: "2199200615.jpg| 4   A dog runs ..."
    match = re.match(r"\s*([^|]+?)\s*\|\s*\d+\s*\|?(.*)", line, re.DOTALL)
    return (match[1], match[2]) if match else ("", "")


def _split_at_commas(line: str, columns: int) -> tuple[str, str]:
    row = next(csv.reader([line]))
    return (row[0].strip(), ",".join(row[columns - 1 :])) if len(row) >= columns else ("", "")


def clean_caption(text: str) -> str:
    """Collapse white space and drop quotation marks around the whole caption."""
    text = re.sub(r"\s+", " ", text).strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1].strip()
    return text


def swap_sides(text: str) -> str:
    """Say "left" for "right" and the reverse, as a mirrored photo needs."""
    swapped = {"left": "right", "right": "left"}

    def other(match: re.Match[str]) -> str:
        word = swapped[match[0].lower()]
        return word.capitalize() if match[0][0].isupper() else word

    return re.sub(r"\b(left|right)\b", other, text, flags=re.IGNORECASE)


def has_sides(text: str) -> bool:
    """Whether `swap_sides` changes a text."""
    return "left" in text.lower() or "right" in text.lower()


def read_splits(photos: Sequence[CaptionedPhoto], source: Path | None) -> dict[str, Split]:
    """Say which split each photo belongs to.

    Args:
        photos: all photos that have captions.
        source: Karpathy's json, or a folder with train.txt, val.txt and perhaps test.txt, one
            file name a line; None splits by a hash of the name, the same on every machine.

    Returns:
        Split by photo name; photos that the source does not name are left out.

    Raises:
        FileNotFoundError: the source or a list in it is missing.
        ValueError: a photo stands in two lists, or the json is not Karpathy's.
    """
    if source is None:
        return {photo.name: _hash_split(photo.name) for photo in photos}
    named = _karpathy_splits(source) if source.suffix == ".json" else _list_splits(source)
    known = {photo.name for photo in photos}
    return {name: split for name, split in named.items() if name in known}


def _hash_split(name: str) -> Split:
    share = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
    if share < VAL_SHARE:
        return "val"
    return "test" if share < VAL_SHARE + TEST_SHARE else "train"


def _karpathy_splits(path: Path) -> dict[str, Split]:
    if not path.is_file():
        raise FileNotFoundError(f"no such split file: {path}")
    try:
        images = json.loads(path.read_text(encoding="utf-8"))["images"]
        # Karpathy's COCO file calls further training photos "restval".
        return {
            image["filename"]: "train" if image["split"] == "restval" else image["split"]
            for image in images
        }
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not one of Karpathy's split files: {error!r}") from error


def _list_splits(folder: Path) -> dict[str, Split]:
    splits: dict[str, Split] = {}
    for split in SPLITS:
        path = folder / f"{split}.txt"
        if not path.is_file():
            if split == "test":
                continue
            raise FileNotFoundError(f"no such split list: {path}")
        lines = path.read_text(encoding="utf-8").split("\n")
        for name in filter(None, map(str.strip, lines)):
            if splits.setdefault(name, split) != split:
                raise ValueError(f"{name} stands in both {splits[name]}.txt and {split}.txt")
    return splits


Augmentation = Literal["none", "classic", "strong"]
Placement = tuple[tuple[float, float, float], tuple[float, float, float]]
"""Where a photo lies in a view: ((a, b, c), (d, e, f)) takes the photo's point (x, y) to
(a x + b y + c, d x + e y + f), all in fractions of width and height."""
UPRIGHT: Placement = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
MIRRORED: Placement = ((-1.0, 0.0, 1.0), (0.0, 1.0, 0.0))


class View(NamedTuple):
    """What training sees of a photo, and where the photo lies in it."""

    photo: Tensor
    """The encoder's input (3, S, S), or what the encoder's first stages made of it."""
    placement: Placement = UPRIGHT

    @property
    def mirrored(self) -> bool:
        """Whether left and right have changed sides."""
        (a, b, _), (c, d, _) = self.placement
        return a * d - b * c < 0


def augment(image: Image.Image, kind: Augmentation, size: int) -> tuple[Image.Image, Placement]:
    """Change a training photo at random, with torch's global generator.

    Args:
        image: upright RGB.
        kind: "classic" stretches to 8/7 of the size, crops and mirrors; "strong" turns by up to 5
            degrees, crops 60 to 100 % of the area, mirrors, and changes colours.
        size: side of the result in pixels, unless kind is "none".

    Returns:
        The changed photo, and where the given one lies in it.
    """
    if kind == "none":
        return image, UPRIGHT
    width, height = image.size
    corners = torch.tensor([[0.0, 0.0], [width, 0.0], [0.0, height]])
    points = tv_tensors.KeyPoints(corners, canvas_size=(height, width))  # pyright: ignore
    changed, moved = _CHANGES[kind](size)(image, points)
    origin, right, below = (moved.double() / size).tolist()
    (a, b, c), lower = (
        (right[axis] - origin[axis], below[axis] - origin[axis], origin[axis]) for axis in (0, 1)
    )
    if torch.rand(()) < 0.5:  # torchvision would mirror the points a pixel beside the photo
        return ImageOps.mirror(changed), ((-a, -b, 1 - c), lower)
    return changed, ((a, b, c), lower)


def _classic_changes(size: int) -> v2.Transform:
    larger = v2.Resize([size * 8 // 7] * 2, v2.InterpolationMode.BICUBIC, antialias=True)
    return v2.Compose([larger, v2.RandomCrop(size)])


def _strong_changes(size: int) -> v2.Transform:
    return v2.Compose(
        [
            v2.RandomRotation([-5, 5], v2.InterpolationMode.BILINEAR),
            v2.RandomResizedCrop(size, scale=(0.6, 1.0), antialias=True),
            v2.ColorJitter(0.2, 0.2, 0.2, 0.02),
        ]
    )


_CHANGES: dict[Augmentation, Callable[[int], v2.Transform]] = {
    "classic": _classic_changes,
    "strong": _strong_changes,
}


def photo_paths(photos: Iterable[CaptionedPhoto]) -> dict[str, Path]:
    """The files of photos by name, of those that have one."""
    return {photo.name: photo.path for photo in photos if photo.path is not None}


class PhotoSource(Protocol):
    """Where a data set gets what the model sees of a photo."""

    @property
    def stages_left(self) -> int | None:
        """How many of the encoder's stages its views have still to go through; None for all."""
        ...

    def view(self, name: str, generator: np.random.Generator) -> View:
        """One view of a photo."""
        ...


class PhotoFiles:
    """Photo files, as the encoder's input (3, S, S)."""

    stages_left = None

    def __init__(
        self,
        photos: Iterable[CaptionedPhoto],
        preprocess: PreprocessConfig,
        augmentation: Augmentation = "none",
    ) -> None:
        self.paths = photo_paths(photos)
        self.preprocess = preprocess
        self.augmentation: Augmentation = augmentation

    def view(self, name: str, generator: np.random.Generator) -> View:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(generator.integers(2**62)))
            size = self.preprocess.image_size
            image, placement = augment(load_image(self.paths[name]), self.augmentation, size)
        return View(to_tensor(image, self.preprocess), placement)
