"""The reward of self-critical training is the score that is reported."""

import random

import pytest
from pycocoevalcap.cider.cider import Cider

from train.metrics import CiderD

WORDS = ["a", "dog", "cat", "runs", "sits", "on", "the", "grass", "red", "big", "two", "people"]


def made_up(generator: random.Random, length: int) -> tuple[str, ...]:
    return tuple(generator.choice(WORDS) for _ in range(length))


def test_scores_are_pycocoevalcaps() -> None:
    generator = random.Random(4)
    names = [str(number) for number in range(40)]
    references = {
        name: [made_up(generator, generator.randint(2, 14)) for _ in range(generator.randint(1, 5))]
        for name in names
    }
    # One very short caption, one that is a reference, one of words that no reference has.
    captions = {name: made_up(generator, generator.randint(1, 16)) for name in names}
    captions |= {"0": ("dog",), "1": references["1"][0], "2": ("zebra", "crossing")}
    ours = CiderD(references.values())
    _, theirs = Cider().compute_score(
        {name: [" ".join(words) for words in references[name]] for name in names},
        {name: [" ".join(captions[name])] for name in names},
    )
    for name, score in zip(names, theirs, strict=True):
        assert ours.score(captions[name], references[name]) == pytest.approx(score, abs=1e-6), name


def test_a_rare_agreement_is_worth_more_than_a_common_one() -> None:
    photos = [[("dog",)]] * 8 + [[("dog", "zebra")], [("cat",)]]
    scorer = CiderD(photos)
    zebra, dog, cat = (scorer.score((word,), photos[8]) for word in ("zebra", "dog", "cat"))
    assert zebra > dog > cat == 0
