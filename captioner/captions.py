"""A caption as plain data: its words, with the attention and the probabilities of each.

Knows numbers and text; knows no tensor, no model and no photo. A `Caption` can be pickled,
compared, sent as JSON and read back.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from captioner.errors import CodedError
from captioner.vocabulary import detokenize

PROBABILITY_PLACES, ALPHA_PLACES, SCORE_PLACES = 4, 5, 4
"""Decimals in JSON."""

Map = np.ndarray[Any, np.dtype[np.float32]]
"""A number for each region, (rows, cols); covers the whole photo."""


class CaptionError(CodedError):
    """Data that is not a caption's, or a caption that does not fit a photo or a model."""

    MESSAGES: ClassVar[dict[str, str]] = {
        "missing": "a caption needs {field!r}",
        "malformed": "this is not a caption's data: {reason}",
        "alpha_shape": "the attention of {word!r} is of shape {got}, the caption's grid is {limit}",
        "share": "{field} must be from 0 to 1, got {got}",
        "entropy": "entropy must be at least 0 and finite, got {got}",
        "place": "{field} must be from 0 to 1 (a share of the photo), got {got}",
        "no_attention": "the caption must have words with attention on {limit} regions, as "
        "generate_caption gives it; got {words} words on {got}",
        "too_many_words": "a caption must have at most {limit} words, got {got}",
        "foreign_word": "{word!r} is not a word of this model: the caption is another model's",
    }


@dataclass(frozen=True, eq=False)
class Word:
    """One word of a caption, with its attention and its probability."""

    text: str
    probability: float
    """The model's probability of this word after the words before it, 0 to 1; if the word is
    unknown, the probability of `<unk>`, which stands for all unknown words."""
    alternatives: tuple[tuple[str, float], ...]
    """The most probable other words, with their probabilities, best first."""
    alpha: Map
    """Attention, float32 (rows, cols), sums to 1."""
    known: bool = True
    """Whether the word is in the model's vocabulary; a word of a person's caption may not be."""
    recognized: float = 0.0
    """The share of the word's probability, 0 to 1, that was read off the photo by the encoder's own
    classes (the pointing gate); 0 for a model without."""
    blind: float | None = None
    """The word's probability, after the same words before it, when the model sees the mean region
    of its training photos in place of this photo; None for a model that keeps none."""
    entropy: float | None = None
    """Of the model's distribution over all words, after the words before this one, in nats: 0 is
    certainty; None in captions of earlier versions."""
    ending: float | None = None
    """The probability that the caption ends here, in place of this word; None in captions of
    earlier versions."""

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
        return (
            self.text,
            self.probability,
            self.alternatives,
            self.known,
            self.recognized,
            self.blind,
            self.entropy,
            self.ending,
        )


@dataclass(frozen=True)
class Ending:
    """The end of a caption, after its last word."""

    probability: float
    """That the caption ends there, 0 to 1."""
    entropy: float
    """Of the model's distribution there, in nats."""
    alternatives: tuple[tuple[str, float], ...]
    """The most probable words in place of the end, with their probabilities, best first."""


class WordAttention(NamedTuple):
    """The attention of one word of a caption to a place of the photo."""

    position: int
    """Of the word in the caption, from 0."""
    word: Word
    attention: float
    """To the region that the place lies in, 0 to 1."""


@dataclass(frozen=True)
class Caption:
    """A caption, with the attention and the probabilities of its words."""

    words: tuple[Word, ...]
    score: float
    """Length-normalised log-probability, by which a search ranks; higher is better, at most 0."""
    grid: tuple[int, int]
    """Rows and columns of each word's attention."""
    logprob: float
    """Log-probability of all words, in nats, and of ending after them where it is finished."""
    finished: bool = True
    """Whether the model ended the caption, rather than the maximum length."""
    familiarity: float | None = None
    """How like the training photos this photo is: the share of training photos that are less like
    the others, 0 to 1; None where the model keeps no training photos to compare with."""
    ending: Ending | None = None
    """Its end; None where it is not finished, and in captions of earlier versions."""

    def __str__(self) -> str:
        return detokenize([word.text for word in self.words])

    @property
    def perplexity(self) -> float:
        """One over the geometric mean of the probabilities of the words and the end; at least 1.

        1 is certainty; a uniform guess has the size of the vocabulary.
        """
        tokens = len(self.words) + self.finished
        return math.exp(-self.logprob / tokens) if tokens else 1.0

    @property
    def unknown_words(self) -> tuple[str, ...]:
        """The words that are not in the model's vocabulary, in order."""
        return tuple(word.text for word in self.words if not word.known)

    def attention_at(self, x: float, y: float) -> list[WordAttention]:
        """Rank the words by their attention to a place of the photo.

        Args:
            x: from the photo's left edge, 0, to its right edge, 1.
            y: from its top edge, 0, to its bottom edge, 1.

        Returns:
            All words, the one of the greatest attention first.

        Raises:
            CaptionError: a ValueError: the place is not on the photo.
        """
        for name, value in (("x", x), ("y", y)):
            if not 0 <= value <= 1:
                raise CaptionError("place", {"field": name, "got": value})
        rows, cols = self.grid
        row, col = min(int(y * rows), rows - 1), min(int(x * cols), cols - 1)
        ranked = [
            WordAttention(position, word, float(word.alpha[row, col]))
            for position, word in enumerate(self.words)
        ]
        return sorted(ranked, key=lambda item: -item.attention)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON data, as the command line and the page's endpoint give it.

        Attention is rounded to 5 places, all other numbers to 4; what is None is null.
        `caption.schema.json`, beside this module, describes it.
        """
        # Of the rounded logprob: what is read back then gives the same.
        rounded = replace(self, logprob=round(self.logprob, SCORE_PLACES))
        return {
            "caption": str(self),
            "score": round(self.score, SCORE_PLACES),
            "logprob": round(self.logprob, SCORE_PLACES),
            "perplexity": round(rounded.perplexity, SCORE_PLACES),
            "familiarity": _rounded(self.familiarity),
            "finished": self.finished,
            "grid": list(self.grid),
            "ending": None
            if self.ending is None
            else {
                "probability": _rounded(self.ending.probability),
                "entropy": _rounded(self.ending.entropy),
                "alternatives": _alternatives_json(self.ending.alternatives),
            },
            "words": [
                {
                    "text": word.text,
                    "known": word.known,
                    "probability": _rounded(word.probability),
                    "recognized": _rounded(word.recognized),
                    "blind": _rounded(word.blind),
                    "entropy": _rounded(word.entropy),
                    "ending": _rounded(word.ending),
                    "alternatives": _alternatives_json(word.alternatives),
                    "alpha": [[round(float(a), ALPHA_PLACES) for a in row] for row in word.alpha],
                }
                for word in self.words
            ],
        }

    @classmethod
    def from_json(cls, data: Any) -> "Caption":
        """Read what `to_json` wrote, rounded as it is. Other keys are ignored.

        Captions that were saved before there were `recognized`, `blind`, `familiarity`, `entropy`
        and `ending` get the defaults of these.

        Raises:
            CaptionError: a ValueError: the data is not a caption's, and why.
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
                _optional_share(data, "familiarity"),
                _ending_from_json(data.get("ending")),
            )
        except KeyError as error:
            raise CaptionError("missing", {"field": error.args[0]}) from error
        except CaptionError:
            raise
        except (TypeError, ValueError, IndexError) as error:
            raise CaptionError("malformed", {"reason": str(error)}) from error
        for word in words:
            if word.alpha.shape != grid:
                values = {"word": word.text, "got": word.alpha.shape, "limit": grid}
                raise CaptionError("alpha_shape", values)
        return caption


@dataclass(frozen=True, eq=False)
class Occlusion:
    """How much less probable each word of a caption is when a region of the photo is hidden."""

    caption: Caption
    drops: tuple[Map, ...]
    """For each word, the drop of its probability when each region is hidden: (rows, cols), -1 to 1;
    below 0 where the word becomes more probable."""

    @property
    def agreements(self) -> tuple[float, ...]:
        """For each word, Pearson's correlation of attention and drops over the regions, -1 to 1.

        0 where either is the same everywhere.
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


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, PROBABILITY_PLACES)


def _alternatives_json(alternatives: Sequence[tuple[str, float]]) -> list[list[Any]]:
    return [[text, _rounded(probability)] for text, probability in alternatives]


def _word_from_json(data: dict[str, Any]) -> Word:
    return Word(
        str(data["text"]),
        _share("probability", data["probability"]),
        _alternatives_from_json(data["alternatives"]),
        np.array(data["alpha"], dtype=np.float32),
        bool(data["known"]),
        _share("recognized", data.get("recognized", 0.0)),
        _optional_share(data, "blind"),
        None if data.get("entropy") is None else _entropy(data["entropy"]),
        _optional_share(data, "ending"),
    )


def _ending_from_json(data: dict[str, Any] | None) -> Ending | None:
    if data is None:
        return None
    return Ending(
        _share("probability", data["probability"]),
        _entropy(data["entropy"]),
        _alternatives_from_json(data["alternatives"]),
    )


def _alternatives_from_json(data: Iterable[Any]) -> tuple[tuple[str, float], ...]:
    return tuple((str(text), _share("probability", share)) for text, share in data)


def _optional_share(data: dict[str, Any], field: str) -> float | None:
    value = data.get(field)
    return None if value is None else _share(field, value)


def _share(field: str, value: Any) -> float:
    share = float(value)
    if not 0 <= share <= 1:
        raise CaptionError("share", {"field": field, "got": share})
    return share


def _entropy(value: Any) -> float:
    entropy = float(value)
    if not 0 <= entropy < math.inf:
        raise CaptionError("entropy", {"got": entropy})
    return entropy
