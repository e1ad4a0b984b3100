"""Calibration errors are those of the definition, and a temperature undoes sharpening."""

import numpy as np
import pytest
import torch

from train.calibration import (
    BINS,
    TEMPERATURES,
    calibration_scores,
    count_bins,
    expected_calibration_error,
    fit_temperature,
)


def test_each_word_is_counted_in_the_bin_of_its_confidence() -> None:
    counts = count_bins(np.array([0.0, 1 / 15, 0.08, 1.0]), np.array([True, False, True, True]))
    assert counts[0].tolist() == pytest.approx([2, 1 / 15, 1])
    assert counts[1].tolist() == pytest.approx([1, 0.08, 1])
    assert counts[-1].tolist() == [1, 1, 1]
    assert counts.sum(axis=0).tolist() == pytest.approx([4, 1 / 15 + 1.08, 3])


def test_the_error_is_the_mean_over_words_of_the_gap_in_their_bin() -> None:
    """Three words of 0.9, of which two are right, and one of 0.5 that is wrong."""
    counts = count_bins(np.array([0.9, 0.9, 0.9, 0.5]), np.array([True, True, False, False]))
    gap = 3 / 4 * (0.9 - 2 / 3) + 1 / 4 * 0.5
    assert expected_calibration_error(counts) == pytest.approx(gap)


def test_gaps_of_one_sign_in_a_bin_make_up_for_the_other() -> None:
    counts = count_bins(np.full(10, 0.7), np.arange(10) < 7)
    assert expected_calibration_error(counts) == pytest.approx(0)


def test_words_that_are_right_as_often_as_they_are_probable_have_no_error() -> None:
    chance = np.random.default_rng(0)
    confidence = chance.random(100_000)
    correct = chance.random(100_000) < confidence
    assert expected_calibration_error(count_bins(confidence, correct)) < 0.01
    assert expected_calibration_error(count_bins(confidence, correct & (confidence < 0.5))) > 0.3


@pytest.mark.parametrize(
    ("confidence", "correct", "message"),
    [
        ([0.5, 0.5], [True], "same words"),
        ([[0.5]], [[True]], "same words"),
        ([1.01], [True], "from 0 to 1"),
        ([float("nan")], [True], "from 0 to 1"),
    ],
)
def test_what_are_no_probabilities_of_words_is_refused(
    confidence: list[float], correct: list[bool], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        count_bins(np.array(confidence), np.array(correct))


def test_scores_are_of_all_photos_words_and_the_table_has_only_bins_with_words() -> None:
    counts = [
        count_bins(np.array([0.9, 0.9]), np.array([True, True])),
        count_bins(np.array([0.9, 0.5]), np.array([False, False])),
        np.zeros((BINS, 3)),
    ]
    found = calibration_scores(counts, 200, 0)
    assert found["words"] == 4
    gap = 3 / 4 * (0.9 - 2 / 3) + 1 / 4 * 0.5
    means = [found[name]["value"] for name in ("error", "confidence", "accuracy")]
    assert means == pytest.approx([gap, 3.2 / 4, 2 / 4])
    assert found["accuracy"]["low"] < 0.5 < found["accuracy"]["high"]
    first, second = (list(row.values()) for row in found["bins"])
    assert list(found["bins"][0]) == ["low", "high", "share", "confidence", "accuracy"]
    assert first == pytest.approx([7 / 15, 8 / 15, 0.25, 0.5, 0])
    assert second == pytest.approx([13 / 15, 14 / 15, 0.75, 0.9, 2 / 3])


def sampled_words(sharpness: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits so many times too large, and words drawn with the right ones."""
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(20_000, 10, generator=generator)
    targets = torch.multinomial(logits.softmax(dim=1), 1, generator=generator).squeeze(1)
    return sharpness * logits, targets


@pytest.mark.parametrize("sharpness", [0.6, 1.0, 1.7])
def test_the_fitted_temperature_undoes_sharpening(sharpness: float) -> None:
    logits, targets = sampled_words(sharpness)
    fit = fit_temperature(zip(logits.split(3000), targets.split(3000), strict=True))
    assert fit.temperature == pytest.approx(sharpness, rel=0.03)
    highest, words = logits.softmax(dim=1).max(dim=1)
    counts = count_bins(highest.numpy(), (words == targets).numpy())
    assert fit.error_before == pytest.approx(float(expected_calibration_error(counts)), rel=1e-3)
    assert fit.error <= min(fit.error_before, 0.02)


def test_log_probabilities_and_impossible_words_do_as_well() -> None:
    logits, targets = sampled_words(1.4)
    ruled_out = torch.cat([logits, torch.full((len(logits), 1), -torch.inf)], dim=1)
    found = fit_temperature([(ruled_out.log_softmax(dim=1), targets)])
    assert found.temperature == pytest.approx(fit_temperature([(logits, targets)]).temperature)


def test_words_that_are_always_right_get_the_lowest_temperature() -> None:
    fit = fit_temperature([(torch.tensor([[3.0, 0.0]]), torch.tensor([0]))])
    assert fit.temperature == TEMPERATURES[0]


def test_no_words_have_no_temperature() -> None:
    with pytest.raises(ValueError, match="at least one word"):
        fit_temperature([])
