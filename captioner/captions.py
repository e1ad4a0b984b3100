"""A caption as plain data: its words, with what the model saw and thought when it said each.

Knows numbers and text; knows no tensor, no model and no photo. A `Caption` can be pickled,
compared, sent as JSON and read back.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from captioner.vocabulary import detokenize

PROBABILITY_PLACES, ALPHA_PLACES, SCORE_PLACES = 4, 5, 4
"""Decimals in JSON."""

Map = np.ndarray[Any, np.dtype[np.float32]]
"""A number for each region, (rows, cols); covers the whole photo."""


@dataclass(frozen=True, eq=False)
class Word:
    """One word of a caption, with what the model saw and thought when it said it."""

    text: str
    probability: float
    """The model's probability of this word after the words before it, 0 to 1; of any unknown
    word, where this one is unknown."""
    alternatives: tuple[tuple[str, float], ...]
    """The most probable other words, with their probabilities, best first."""
    alpha: Map
    """Attention, float32 (rows, cols), sums to 1."""
    known: bool = True
    """Whether the model knows the word; one of a person's own words it may not."""

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Word)
            and self._plain == other._plain
            and np.array_equal(self.alpha, other.alpha)
        )

    def __hash__(self) -> int:
        return hash(self._plain)

    @property
    def _plain(self) -> tuple[Any, ...]:
        return (self.text, self.probability, self.alternatives, self.known)


class Looked(NamedTuple):
    """How much one word of a caption looked at a place."""

    position: int
    """Of the word in the caption, from 0."""
    word: Word
    attention: float
    """On the region of the place, 0 to 1."""


@dataclass(frozen=True)
class Caption:
    """A caption and how it came about. Plain data: holds no tensor and no model."""

    words: tuple[Word, ...]
    score: float
    """Length-normalised log-probability, by which a search ranks; higher is better, at most 0."""
    grid: tuple[int, int]
    """Rows and columns of each word's attention."""
    logprob: float
    """Log-probability of all words, in nats, and of ending after them where it is finished."""
    finished: bool = True
    """Whether the caption ended by itself, not at the longest length allowed."""

    def __str__(self) -> str:
        return detokenize([word.text for word in self.words])

    @property
    def perplexity(self) -> float:
        """How surprised the model is by it: one over the mean probability of a word, at least 1.

        The mean is geometric, over the words and the end. 1 is certainty; a model that had no idea
        would get the number of words it knows.
        """
        tokens = len(self.words) + self.finished
        return math.exp(-self.logprob / tokens) if tokens else 1.0

    @property
    def unknown_words(self) -> tuple[str, ...]:
        """The words that the model does not know, in their order."""
        return tuple(word.text for word in self.words if not word.known)

    def attention_at(self, x: float, y: float) -> list[Looked]:
        """Rank the words by how much they looked at a place of the photo.

        Args:
            x: from the photo's left edge, 0, to its right edge, 1.
            y: from its top edge, 0, to its bottom edge, 1.

        Returns:
            All words, the one that looked most first.

        Raises:
            ValueError: the place is not on the photo.
        """
        for name, value in (("x", x), ("y", y)):
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must be from 0 to 1 (a share of the photo), got {value}")
        rows, cols = self.grid
        row, col = min(int(y * rows), rows - 1), min(int(x * cols), cols - 1)
        looked = [
            Looked(position, word, float(word.alpha[row, col]))
            for position, word in enumerate(self.words)
        ]
        return sorted(looked, key=lambda item: -item.attention)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON data, as the command line and the page's endpoint give it.

        Probabilities are rounded to 4 places, attention to 5, score, logprob and perplexity to 4.
        `caption.schema.json`, beside this module, describes it.
        """
        return {
            "caption": str(self),
            "score": round(self.score, SCORE_PLACES),
            "logprob": round(self.logprob, SCORE_PLACES),
            "perplexity": round(self.perplexity, SCORE_PLACES),
            "finished": self.finished,
            "grid": list(self.grid),
            "words": [
                {
                    "text": word.text,
                    "known": word.known,
                    "probability": round(word.probability, PROBABILITY_PLACES),
                    "alternatives": [
                        [text, round(p, PROBABILITY_PLACES)] for text, p in word.alternatives
                    ],
                    "alpha": [[round(float(a), ALPHA_PLACES) for a in row] for row in word.alpha],
                }
                for word in self.words
            ],
        }

    @classmethod
    def from_json(cls, data: Any) -> "Caption":
        """Read what `to_json` gave; what it rounded stays rounded. Other keys are left aside.

        Raises:
            ValueError: the data is not a caption's, and what about it is not.
        """
        try:
            grid = tuple(int(side) for side in data["grid"])
            words = tuple(_word_from_json(word) for word in data["words"])
            caption = cls(
                words,
                float(data["score"]),
                (grid[0], grid[1]),
                float(data["logprob"]),
                bool(data["finished"]),
            )
        except KeyError as error:
            raise ValueError(f"a caption needs {error}") from error
        except (TypeError, ValueError, IndexError) as error:
            raise ValueError(f"this is not a caption's data: {error}") from error
        for word in words:
            if word.alpha.shape != grid:
                raise ValueError(
                    f"the attention of {word.text!r} is of shape {word.alpha.shape}, "
                    f"the caption's grid is {grid}"
                )
        return caption


@dataclass(frozen=True, eq=False)
class Occlusion:
    """What each word of a caption loses when a region of the photo is hidden."""

    caption: Caption
    drops: tuple[Map, ...]
    """For each word and region, how much less probable the word is without it: (rows, cols), -1 to
    1; below 0 where the word is more probable without."""

    @property
    def agreements(self) -> tuple[float, ...]:
        """For each word, how attention and drops go together, -1 to 1: their correlation.

        Pearson's, over the regions: 1 where hiding costs just as much as a region was looked at,
        0 where one says nothing of the other, or where one is the same everywhere.
        """
        pairs = zip(self.caption.words, self.drops, strict=True)
        return tuple(_correlation(word.alpha, drop) for word, drop in pairs)

    @property
    def agreement(self) -> float:
        """The mean of `agreements`."""
        return float(np.mean(self.agreements))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON data: agreements to 4 places, drops to 5."""
        return {
            "agreement": round(self.agreement, SCORE_PLACES),
            "agreements": [round(value, SCORE_PLACES) for value in self.agreements],
            "drops": [
                [[round(float(x), ALPHA_PLACES) for x in row] for row in drop]
                for drop in self.drops
            ],
        }


def _correlation(first: Map, second: Map) -> float:
    a, b = (part.astype(np.float64).ravel() - part.mean() for part in (first, second))
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / size if size > 1e-12 else 0.0


def _word_from_json(data: dict[str, Any]) -> Word:
    return Word(
        str(data["text"]),
        float(data["probability"]),
        tuple((str(text), float(probability)) for text, probability in data["alternatives"]),
        np.array(data["alpha"], dtype=np.float32),
        bool(data["known"]),
    )
