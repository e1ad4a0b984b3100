"""Bootstrap intervals: they hold the score, tell its chance, and narrow as photos are added."""

import numpy as np
import pytest

from train.bootstrap import Tally, measure, ratio


def shares(photos: int) -> Tally:
    """A share of 0.3, over so many photos."""
    return ratio((np.arange(photos) % 10 < 3).astype(float), np.ones(photos))


def ends(tally: Tally, samples: int = 1000, seed: int = 0) -> tuple[float, float]:
    found = measure(tally, samples, seed)
    low, high = found["low"], found["high"]
    assert low is not None
    assert high is not None
    return low, high


def test_the_interval_is_that_of_a_share() -> None:
    low, high = ends(shares(400))
    assert shares(400).score == pytest.approx(0.3)
    assert low < 0.3 < high
    error = np.sqrt(0.3 * 0.7 / 400)
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_the_interval_narrows_with_the_root_of_the_photos() -> None:
    few, many = (np.diff(ends(shares(photos))) for photos in (100, 1600))
    assert few / many == pytest.approx(4, rel=0.2)


def test_photos_are_drawn_whole() -> None:
    """Words of one photo go together: ten alike of each photo are no more than one of each."""
    single = shares(100)
    words = Tally(10 * single.statistics, single.formula)
    assert ends(words) == ends(single)


def test_the_seed_decides_the_samples() -> None:
    assert ends(shares(100), seed=1) == ends(shares(100), seed=1)
    assert ends(shares(100), samples=50, seed=1) != ends(shares(100), samples=50, seed=2)


def test_without_samples_there_is_no_interval_and_without_words_no_score() -> None:
    assert measure(shares(10), 0, 0) == {"value": pytest.approx(0.3), "low": None, "high": None}
    nothing = ratio([0.0, 0.0], [0.0, 0.0])
    assert measure(nothing, 100, 0) == {"value": None, "low": None, "high": None}


def test_samples_without_words_are_left_out_of_the_interval() -> None:
    found = measure(ratio([0.5, 0.0], [1.0, 0.0]), 100, 0)
    assert found == {"value": 0.5, "low": 0.5, "high": 0.5}
