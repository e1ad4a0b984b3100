"""The area under the ROC curve is the share of pairs in the right order."""

import numpy as np
import pytest

from train.familiarity import auroc, familiarity_scores, measure_auroc


def test_it_is_the_share_of_pairs_with_ties_counted_half() -> None:
    known, unknown = [0.2, 0.5, 0.9], [0.1, 0.5]
    right = 1 + 0 + 1 + 0.5 + 1 + 1
    assert auroc(known, unknown) == pytest.approx(right / 6)
    assert auroc(unknown, known) == pytest.approx(1 - right / 6)


def test_it_is_the_area_under_the_curve() -> None:
    chance = np.random.default_rng(0)
    known, unknown = chance.normal(1, 1, 300).round(1), chance.normal(0, 1, 200).round(1)
    limits = [np.inf, *sorted({*known, *unknown}, reverse=True)]
    hits = np.array([np.mean(known >= limit) for limit in limits])
    false_alarms = np.array([np.mean(unknown >= limit) for limit in limits])
    area = (np.diff(false_alarms) * (hits[1:] + hits[:-1]) / 2).sum()  # trapezoids
    assert auroc(known, unknown) == pytest.approx(area)


def test_the_interval_is_that_of_hanley_and_mcneil() -> None:
    """Their standard error for normal scores of distance 1 (1982, eq. 1), both sets drawn anew."""
    chance = np.random.default_rng(0)
    known, unknown = chance.normal(1, 1, 400), chance.normal(0, 1, 150)
    found = measure_auroc(known, unknown, 2000, 0)
    assert found["value"] is not None
    assert found["low"] is not None
    assert found["high"] is not None
    area = found["value"]
    first, second = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + 399 * (first - area**2) + 149 * (second - area**2)
    error = np.sqrt(variance / (400 * 150))
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 * error, rel=0.15)
    assert found["low"] < area < found["high"]


def test_the_seed_decides_the_interval() -> None:
    known, unknown = [0.1, 0.4, 0.6, 0.9], [0.2, 0.3, 0.5]
    once, again, other = (measure_auroc(known, unknown, 50, seed) for seed in (1, 1, 2))
    assert once == again != other


def test_without_samples_there_is_no_interval_and_without_photos_no_area() -> None:
    assert measure_auroc([1.0], [0.0], 0, 0) == {"value": 1.0, "low": None, "high": None}
    assert measure_auroc([], [0.0], 9, 0) == {"value": None, "low": None, "high": None}


def test_scores_have_numbers_and_medians() -> None:
    found = familiarity_scores([0.9, 0.7, 0.2], [0.1], 0, 0)
    assert found["auroc"]["value"] == 1
    numbers = ("known", "unknown", "known_median", "unknown_median")
    assert [found[name] for name in numbers] == [3, 1, 0.7, 0.1]
    assert familiarity_scores([0.9], [], 0, 0)["unknown_median"] is None
