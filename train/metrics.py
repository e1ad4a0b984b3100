"""Caption scores: pycocoevalcap's, on references as people wrote them; and how captions vary.

Knows texts; knows nothing of models. Needs a Java runtime for the PTB tokenizer and METEOR.
"""

import math
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from pycocoevalcap.bleu.bleu_scorer import BleuScorer
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from captioner.vocabulary import tokenize
from train.bootstrap import Array, Tally, ratio

Texts = Mapping[str, Sequence[str]]
MAX_ORDER = 4
"""Longest n-grams that BLEU and CIDEr-D count."""

Words = tuple[str, ...]
Ngram = Words
LENGTH_SIGMA = 6.0
"""Of CIDEr-D's Gaussian penalty on a difference in length."""


class Scorer:
    """Scores captions of a set of photos; tokenizes its references once."""

    def __init__(self, references: Texts) -> None:
        """Take the references.

        Args:
            references: by photo name, the raw captions people wrote.

        Raises:
            FileNotFoundError: there is no Java runtime.
        """
        if shutil.which("java") is None:
            raise FileNotFoundError(
                "scoring needs Java; install a runtime (Debian: apt install default-jre-headless)"
            )
        self._references = _ptb_tokenize(references)

    def score(self, captions: Mapping[str, str], meteor: bool = False) -> dict[str, float]:
        """Score one caption per photo, times 100. Arguments and errors as `tally`.

        Returns:
            BLEU-1 to BLEU-4, ROUGE-L, CIDEr-D and perhaps METEOR, as pycocoevalcap gives them.
        """
        return {name: tally.score for name, tally in self.tally(captions, meteor).items()}

    def tally(self, captions: Mapping[str, str], meteor: bool = False) -> dict[str, Tally]:
        """Count what the scores of one caption per photo, times 100, are made of.

        BLEU and METEOR are formulas on counts that are summed over photos. ROUGE-L and CIDEr-D are
        means over photos; CIDEr-D's document frequencies are those of all photos in every sample.

        Args:
            captions: by photo name, for exactly the photos that have references.
            meteor: count for METEOR too, which takes some seconds.

        Returns:
            By name of the score.

        Raises:
            ValueError: captions and references are not of the same photos.
        """
        if captions.keys() != self._references.keys():
            raise ValueError(
                f"captions are of {len(captions)} photos, references of {len(self._references)}; "
                "they must be the same photos"
            )
        references = self._references
        hypotheses = _ptb_tokenize({name: [text] for name, text in captions.items()})
        counts = _bleu_counts(references, hypotheses)
        tallies = {
            f"BLEU-{n}": Tally(counts, partial(_bleu, order=n)) for n in range(1, MAX_ORDER + 1)
        }
        if meteor:
            tallies["METEOR"] = Tally(_meteor_counts(references, hypotheses), _meteor)
        for name, scorer in (("ROUGE-L", Rouge()), ("CIDEr-D", Cider())):
            _, scores = scorer.compute_score(references, hypotheses)
            tallies[name] = ratio(100 * scores, np.ones(len(scores)))
        return tallies


def _bleu_counts(references: Texts, hypotheses: Texts) -> Array:
    """Per photo its length, the closest reference's, n-grams, and those in references; (B, 10)."""
    scorer = BleuScorer(n=MAX_ORDER)
    for name, group in references.items():
        scorer += (hypotheses[name][0], group)
    return np.array([_bleu_row(**row) for row in scorer.ctest], dtype=np.float64)


def _bleu_row(
    testlen: int, reflen: Sequence[int], guess: Sequence[int], correct: Sequence[int]
) -> list[int]:
    closest = min(reflen, key=lambda length: (abs(length - testlen), length))
    return [testlen, closest, *guess, *correct]


def _bleu(sums: Array, order: int) -> Array:
    """Corpus BLEU of summed counts (..., 10), times 100.

    Source: Papineni et al. 2002, sec. 2.3; the small numbers are pycocoevalcap's.
    """
    guessed, correct = sums[..., 2 : 2 + order], sums[..., 2 + MAX_ORDER : 2 + MAX_ORDER + order]
    precisions = (correct + 1e-15) / (guessed + 1e-9)
    length_ratio = (sums[..., 0] + 1e-15) / (sums[..., 1] + 1e-9)
    brevity = np.exp(np.minimum(0, 1 - 1 / length_ratio))
    return 100 * brevity * precisions.prod(axis=-1) ** (1 / order)


def _meteor_counts(references: Texts, hypotheses: Texts) -> Array:
    """Per photo the counts of METEOR's best alignment, (B, 23)."""
    scorer = Meteor()
    with scorer.meteor_p:  # closes the pipes and waits, which the package leaves undone
        lines = [scorer._stat(hypotheses[name][0], group) for name, group in references.items()]
        scorer.meteor_p.kill()
    counts = np.array([line.split() for line in lines], dtype=np.float64)
    whole = (counts[:, 20] == 1) & (counts[:, [21, 22]] == counts[:, :2]).all(axis=1)
    counts[whole, 20] = 0  # what is the same from end to end is not in chunks
    return counts


def _meteor(sums: Array) -> Array:
    """Corpus METEOR 1.5 of summed counts (..., 23), times 100.

    Columns are words and function words, of hypothesis and reference in turn (4); matches of
    content and of function words, of hypothesis and reference in turn, by each of the matchers
    exact, stem, synonym, paraphrase (16); chunks; matched words of hypothesis and reference.

    Source: Denkowski and Lavie 2014 (Meteor Universal), sec. 2; the weights are the package's for
    English.
    """
    alpha, beta, gamma, delta = 0.85, 0.2, 0.6, 0.75
    matchers = sums[..., 4:20].reshape(*sums.shape[:-1], 4, 4)
    matches = np.einsum("...mc,m->...c", matchers, [1.0, 0.6, 0.8, 0.6])
    words, function_words = sums[..., 0:2], sums[..., 2:4]
    matched = delta * matches[..., 0:2] + (1 - delta) * matches[..., 2:4]
    found = matched / (delta * (words - function_words) + (1 - delta) * function_words)
    precision, recall = found[..., 0], found[..., 1]
    mean = 1 / ((1 - alpha) / precision + alpha / recall)
    fragmentation = sums[..., 20] / (sums[..., 21:23].sum(axis=-1) / 2)
    return 100 * np.nan_to_num(mean * (1 - gamma * fragmentation**beta))


def _ptb_tokenize(texts: Texts) -> dict[str, list[str]]:
    return PTBTokenizer().tokenize(
        {name: [{"caption": text} for text in group] for name, group in texts.items()}
    )


def diversity(captions: Sequence[str], train_captions: Iterable[str]) -> dict[str, float]:
    """Say how captions vary, their words taken without punctuation.

    Args:
        captions: one or more.
        train_captions: all captions of the train split.

    Returns:
        `distinct_words`, the number of different words in all captions; `mean_length` in words; and
        shares of the captions, 0 to 1: `word_twice_in_a_row`; `repeated_bigram` and
        `repeated_trigram`, those that hold a run of two or three words twice; `novel`, those that
        are no train caption; `duplicate`, those that another photo was given too.
    """
    words_of = [tuple(tokenize(text, keep_punctuation=False)) for text in captions]
    known = {tuple(tokenize(text, keep_punctuation=False)) for text in train_captions}
    times = Counter(words_of)
    shares = {
        "word_twice_in_a_row": [any(map(str.__eq__, words, words[1:])) for words in words_of],
        "repeated_bigram": [_repeats(words, 2) for words in words_of],
        "repeated_trigram": [_repeats(words, 3) for words in words_of],
        "novel": [words not in known for words in words_of],
        "duplicate": [times[words] > 1 for words in words_of],
    }
    return {
        "distinct_words": len({word for words in words_of for word in words}),
        "mean_length": float(np.mean([len(words) for words in words_of])),
        **{name: float(np.mean(flags)) for name, flags in shares.items()},
    }


def _repeats(words: Sequence[str], n: int) -> bool:
    runs = [tuple(words[start : start + n]) for start in range(len(words) - n + 1)]
    return len(set(runs)) < len(runs)


class CiderD:
    """CIDEr-D of one caption at a time, fast enough to be a reward, equal to pycocoevalcap's.

    Counts n-grams shared with references, rare ones more. Needs no Java.

    Source: Vedantam et al., CIDEr (arXiv:1411.5726), sec. 4 and 5.
    """

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
        weights: list[dict[Ngram, float]] = [{} for _ in range(MAX_ORDER)]
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
        for size in range(1, MAX_ORDER + 1)
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
    return penalty * total / MAX_ORDER
