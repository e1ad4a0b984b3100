"""Phrases of captions, and where in the photo is what they name: Flickr30k Entities' boxes.

Knows annotation files, words and region grids; knows nothing of models.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from train.data import UPRIGHT, CaptionedPhoto, Placement

SMALLEST_VISIBLE_SHARE = 0.3
"""Of a box, in a view that cuts it off: what shows less of a thing does not show the thing."""
FINENESS = 8
"""Points per region, across and down, by which the union of boxes is measured."""


class Box(NamedTuple):
    """A box as fractions of the photo's width and height."""

    left: float
    top: float
    right: float
    bottom: float


class Phrase(NamedTuple):
    """Words of a caption that name something with boxes around it."""

    first: int
    """Index of the first word among the caption's words."""
    last: int
    """Index of the last one, as a rule the noun."""
    boxes: tuple[Box, ...]


Phrases = tuple[Phrase, ...]

Tokenize = Callable[[str], list[str]]
"""Splits a caption into words, as `Vocabulary.tokenize`."""


def read_phrases(
    path: Path, photos: Sequence[CaptionedPhoto], tokenize: Tokenize
) -> dict[str, tuple[Phrases, ...]]:
    """Read the boxed phrases of photos' captions.

    Args:
        path: JSON, by photo name `{"captions": [{"words": [...], "phrases": [[first word, last
            word, [[x0, y0, x1, y1], ...]], ...]}, ...]}`, boxes as fractions of the photo.
        photos: whose phrases are wanted.
        tokenize: how the captions whose words are counted are split.

    Returns:
        By photo name, the phrases of each of the photo's captions, in the captions' order; of a
        caption that the file does not hold there are none.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not of this format.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no such file of phrase boxes: {path}")
    try:
        annotated = json.loads(path.read_text(encoding="utf-8"))
        return {
            photo.name: _phrases_of(photo, annotated[photo.name]["captions"], tokenize)
            for photo in photos
            if photo.name in annotated
        }
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(
            f'{path} must hold, by photo name, {{"captions": [{{"words": [...], "phrases": '
            f"[[first, last, [[x0, y0, x1, y1], ...]], ...]}}, ...]}}: {error!r}"
        ) from error


def find_phrases(
    paths: Iterable[Path], photos: Sequence[CaptionedPhoto], tokenize: Tokenize
) -> dict[str, tuple[Phrases, ...]]:
    """Read the phrases of several files, see `read_phrases`; of a photo in two, the last one's."""
    found: dict[str, tuple[Phrases, ...]] = {}
    for path in paths:
        found |= read_phrases(path, photos, tokenize)
    return found


def _phrases_of(
    photo: CaptionedPhoto, captions: Iterable[Any], tokenize: Tokenize
) -> tuple[Phrases, ...]:
    """Captions are matched by their letters: annotators' and our words are cut differently."""
    annotated = {_letters(" ".join(entry["words"])): entry for entry in captions}
    found: list[Phrases] = []
    for text in photo.captions:
        entry = annotated.get(_letters(text))
        phrases: list[Phrase] = []
        if entry is not None:
            word_at = _word_of_letter(tokenize(text))
            starts = np.cumsum([0, *(len(_letters(word)) for word in entry["words"])])
            for first, last, boxes in entry["phrases"]:
                begin, end = int(starts[first]), int(starts[last + 1]) - 1
                if end >= begin:  # of letters at all
                    named = tuple(Box(*map(float, box)) for box in boxes)
                    phrases.append(Phrase(word_at[begin], word_at[end], named))
        found.append(tuple(phrases))
    return tuple(found)


def _letters(text: str) -> str:
    return "".join(character for character in text.lower() if character.isalnum())


def _word_of_letter(words: Sequence[str]) -> list[int]:
    return [index for index, word in enumerate(words) for _ in _letters(word)]


@lru_cache(maxsize=2**16)  # captions of one photo name the same things
def box_coverage(
    boxes: tuple[Box, ...], grid: tuple[int, int], placement: Placement = UPRIGHT
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """How much of each region lies within boxes.

    Args:
        boxes: of one phrase.
        grid: rows and cols of the regions.
        placement: where the photo lies in the view that the regions are of.

    Returns:
        Shares, (rows, cols), 0 to 1; all 0 where the view shows too little of every box.
    """
    rows, cols = grid
    points_y = (np.arange(rows * FINENESS) + 0.5) / (rows * FINENESS)
    points_x = (np.arange(cols * FINENESS) + 0.5) / (cols * FINENESS)
    inside = np.zeros((len(points_y), len(points_x)), dtype=bool)
    for box in boxes:
        left, top, right, bottom = _placed(box, placement)
        width, height = right - left, bottom - top
        seen = max(min(right, 1) - max(left, 0), 0) * max(min(bottom, 1) - max(top, 0), 0)
        if seen <= SMALLEST_VISIBLE_SHARE * width * height:
            continue
        across = (points_x >= left) & (points_x <= right)
        down = (points_y >= top) & (points_y <= bottom)
        # A box thinner than the points are apart still covers the nearest of them.
        across[np.abs(points_x - (left + right) / 2).argmin()] = True
        down[np.abs(points_y - (top + bottom) / 2).argmin()] = True
        inside |= down[:, None] & across[None, :]
    return inside.reshape(rows, FINENESS, cols, FINENESS).mean(axis=(1, 3), dtype=np.float32)


def _placed(box: Box, placement: Placement) -> Box:
    """The box around where a box comes to lie."""
    (a, b, c), (d, e, f) = placement
    corners = [(x, y) for x in (box.left, box.right) for y in (box.top, box.bottom)]
    across = [a * x + b * y + c for x, y in corners]
    down = [d * x + e * y + f for x, y in corners]
    return Box(min(across), min(down), max(across), max(down))


class Coverage:
    """The regions that the words of captions are about, as training targets."""

    def __init__(
        self,
        phrases: Mapping[str, Sequence[Phrases]],
        grid: tuple[int, int],
        whole_phrases: bool = False,
    ) -> None:
        """Take the phrases.

        Args:
            phrases: by photo name, of each caption, see `read_phrases`.
            grid: rows and cols of the regions.
            whole_phrases: cover every word of a phrase, not only its last.
        """
        self.phrases = phrases
        self.grid = grid
        self.whole_phrases = whole_phrases

    def __call__(self, name: str, caption: int, length: int, placement: Placement) -> Tensor:
        """Shares (length, P), the best region's raised to 1; all 0 at words of no phrase.

        The last of the length is the caption's end, also where a long caption was cut.
        """
        covered = torch.zeros(length, self.grid[0] * self.grid[1])
        if name not in self.phrases:
            return covered
        for phrase in self.phrases[name][caption]:
            shares = box_coverage(phrase.boxes, self.grid, placement).ravel()
            if shares.max() > 0:
                # Otherwise the target of a thing smaller than a region could never be reached.
                shares = torch.from_numpy(shares / shares.max())
                first = phrase.first if self.whole_phrases else phrase.last
                covered[first : min(phrase.last + 1, length - 1)] = shares
        return covered
