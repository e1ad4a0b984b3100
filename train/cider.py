"""CIDEr-D of one caption at a time, fast enough to be a reward, equal to pycocoevalcap's.

Knows words; knows nothing of models.

Source: Vedantam et al., CIDEr (arXiv:1411.5726), sec. 4 and 5.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

Words = tuple[str, ...]
Ngram = Words
LONGEST_NGRAM = 4
LENGTH_SIGMA = 6.0
"""Of the Gaussian penalty on a difference in length."""


class CiderD:
    """Scores captions by n-grams shared with references, the rarer in a set of photos the more."""

    def __init__(self, references: Iterable[Sequence[Words]]) -> None:
        """Count in how many photos' references each n-gram stands.

        Args:
            references: for each photo, the words of every reference.
        """
        photos = list(references)
        self._photos_with = Counter(
            ngram
            for captions in photos
            for ngram in {ngram for words in captions for ngram in _ngrams(words)}
        )
        self._log_photos = math.log(len(photos))
        self._vectors: dict[Words, _Vector] = {}

    def score(self, words: Words, references: Sequence[Words]) -> float:
        """CIDEr-D of a caption, 0 to 10. The references are remembered, to be met again."""
        vector = self._vector(words)
        for reference in references:
            if reference not in self._vectors:
                self._vectors[reference] = self._vector(reference)
        similarities = [_similarity(vector, self._vectors[other]) for other in references]
        return 10 * sum(similarities) / len(references)

    def _vector(self, words: Words) -> "_Vector":
        weights: list[dict[Ngram, float]] = [{} for _ in range(LONGEST_NGRAM)]
        for ngram, count in Counter(_ngrams(words)).items():
            rarity = self._log_photos - math.log(max(1, self._photos_with[ngram]))
            weights[len(ngram) - 1][ngram] = count * rarity
        norms = [math.sqrt(sum(weight**2 for weight in part.values())) for part in weights]
        return _Vector(weights, norms, len(words))


class _Vector(NamedTuple):
    """A caption's n-grams weighed by their rarity (tf-idf), for each n."""

    weights: list[dict[Ngram, float]]
    norms: list[float]
    length: int


def _ngrams(words: Words) -> list[Ngram]:
    return [
        words[start : start + size]
        for size in range(1, LONGEST_NGRAM + 1)
        for start in range(len(words) - size + 1)
    ]


def _similarity(hypothesis: _Vector, reference: _Vector) -> float:
    """Mean over n of the cosine, with counts clipped to the reference's, and the penalty."""
    difference = hypothesis.length - reference.length
    penalty = math.exp(-(difference**2) / (2 * LENGTH_SIGMA**2))
    total = 0.0
    for weights, norm, others, other_norm in zip(
        hypothesis.weights, hypothesis.norms, reference.weights, reference.norms, strict=True
    ):
        if norm and other_norm:
            common = weights.keys() & others.keys()
            product = sum(min(weights[ngram], others[ngram]) * others[ngram] for ngram in common)
            total += product / (norm * other_norm)
    return penalty * total / LONGEST_NGRAM
