"""Caption scores are pycocoevalcap's, of every sample of photos too; and variety is counted."""

import random
from typing import Any

import numpy as np
import pytest
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge

from train.metrics import Scorer, diversity

WORDS = "a dog dogs runs running the big large bike bicycle kid child people persons near by"
"""Some are others' stems, synonyms and paraphrases to METEOR."""


@pytest.fixture(scope="module")
def references() -> dict[str, list[str]]:
    chance = random.Random(0)
    return {
        str(photo): [
            " ".join(chance.choices(WORDS.split(), k=chance.randint(4, 9))) for _ in range(3)
        ]
        for photo in range(30)
    }


@pytest.fixture(scope="module")
def captions(references: dict[str, list[str]]) -> dict[str, str]:
    """Of all kinds: by chance, word by word a reference, of no known word."""
    chance = random.Random(1)
    said = {
        name: " ".join(chance.choices(WORDS.split(), k=chance.randint(2, 6))) for name in references
    }
    return {**said, "3": references["3"][1], "4": references["4"][0], "5": "zzz"}


def by_the_package(references: dict[str, list[str]], captions: dict[str, str]) -> dict[str, float]:
    hypotheses = {name: [captions[name]] for name in references}
    bleu, _ = Bleu(4).compute_score(references, hypotheses, verbose=0)
    scores: dict[str, Any] = {f"BLEU-{n}": score for n, score in enumerate(bleu, start=1)}
    for name, scorer in (("METEOR", Meteor()), ("ROUGE-L", Rouge()), ("CIDEr-D", Cider())):
        scores[name], _ = scorer.compute_score(references, hypotheses)
        if isinstance(scorer, Meteor):
            with scorer.meteor_p:
                scorer.meteor_p.kill()
    return {name: 100 * score for name, score in scores.items()}


def test_scores_are_the_packages(
    references: dict[str, list[str]], captions: dict[str, str]
) -> None:
    scores = Scorer(references).score(captions, meteor=True)
    assert scores == pytest.approx(by_the_package(references, captions), abs=1e-9)
    assert list(scores)[4:] == ["METEOR", "ROUGE-L", "CIDEr-D"]


def test_a_sample_scores_what_the_package_gives_its_photos(
    references: dict[str, list[str]], captions: dict[str, str]
) -> None:
    """CIDEr-D is left out: its document frequencies are those of all photos in every sample."""
    times = np.array([photo % 3 for photo in range(len(references))])
    names = {f"{name}, {copy}": name for name in references for copy in range(times[int(name)])}
    sample = {copy: references[name] for copy, name in names.items()}
    wanted = by_the_package(sample, {copy: captions[name] for copy, name in names.items()})
    for name, tally in Scorer(references).tally(captions, meteor=True).items():
        if name != "CIDEr-D":
            score = tally.formula(times @ tally.statistics)
            assert score == pytest.approx(wanted[name], abs=1e-9), name


def test_captions_of_other_photos_are_refused(references: dict[str, list[str]]) -> None:
    with pytest.raises(ValueError, match="captions are of 1 photos, references of 30"):
        Scorer(references).score({"0": "a dog"})


def test_diversity_counts_words_repeats_and_what_is_new() -> None:
    captions = ["A dog runs.", "a dog runs", "a man in a man in a hat", "a big big dog"]
    assert diversity(captions, ["a dog runs .", "a man"]) == {
        "distinct_words": 7,
        "mean_length": (3 + 3 + 8 + 4) / 4,
        "word_twice_in_a_row": 1 / 4,
        "repeated_bigram": 1 / 4,
        "repeated_trigram": 1 / 4,
        "novel": 2 / 4,
        "duplicate": 2 / 4,
    }


def test_a_bigram_may_repeat_where_no_trigram_does() -> None:
    found = diversity(["a red hat and a red coat"], [])
    assert (found["repeated_bigram"], found["repeated_trigram"]) == (1, 0)
