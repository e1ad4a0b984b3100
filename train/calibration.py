"""Whether words are right as often as they are probable, and the temperature that makes it so.

Knows probabilities and whether words were right; knows nothing of photos or of models.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from train.bootstrap import Array, Tally, measure

BINS = 15
"""Of equal width, from 0 to 1."""

TEMPERATURES = tuple(np.geomspace(0.25, 4, 81).tolist())
"""Those that are tried."""


def count_bins(confidence: np.ndarray[Any, Any], correct: np.ndarray[Any, Any]) -> Array:
    """Count words by the probability of the most probable word.

    Args:
        confidence: (W,) that probability, 0 to 1.
        correct: (W,) whether the most probable word was the reference's.

    Returns:
        In each bin the number of words, the sum of their confidence, and how many were right,
        (BINS, 3), to be added up; a bin holds its upper edge, the first one also 0.

    Raises:
        ValueError: the arrays differ in length, or a probability is not from 0 to 1.
    """
    confidence = np.asarray(confidence, dtype=np.float64)
    if confidence.shape != np.shape(correct) or confidence.ndim != 1:
        raise ValueError(
            f"confidence and correct must be of the same words, got shapes {confidence.shape} "
            f"and {np.shape(correct)}"
        )
    if not ((confidence >= 0) & (confidence <= 1)).all():
        raise ValueError("confidence must be from 0 to 1")
    bins = np.ceil(confidence * BINS).astype(int).clip(min=1) - 1
    counts = np.zeros((BINS, 3))
    np.add.at(counts, bins, np.stack([np.ones(len(bins)), confidence, correct], axis=1))
    return counts


def expected_calibration_error(counts: Array) -> Array:
    """Mean distance of accuracy from confidence over bins (..., BINS, 3), weighed by their words.

    Returns:
        0 to 1, (...); nan where there is no word.

    Source: Guo et al. 2017 (arXiv:1706.04599), sec. 2, eq. 3.
    """
    words = counts[..., 0].sum(axis=-1)
    return np.abs(counts[..., 1] - counts[..., 2]).sum(axis=-1) / words


def calibration_scores(counts: Sequence[Array], samples: int, seed: int) -> dict[str, Any]:
    """How well probabilities are calibrated.

    Args:
        counts: of each photo's words, see `count_bins`.
        samples, seed: of the interval over photos, see `bootstrap.measure`.

    Returns:
        The number of `words`; the measurements `error`, see `expected_calibration_error` (in small
        samples it is overestimated, and its interval with it), `confidence` and `accuracy`, means
        over words; and `bins`, the reliability table: of each bin that has words its ends `low` and
        `high`, its `share` of the words, and the mean `confidence` and `accuracy` in it.
    """
    stacked = np.stack(counts)
    flat = stacked.reshape(len(stacked), -1)
    total = stacked.sum(axis=0)

    def unflatten(sums: Array) -> Array:
        return sums.reshape(*sums.shape[:-1], BINS, 3)

    formulas = {
        "error": lambda sums: expected_calibration_error(unflatten(sums)),
        "confidence": lambda sums: _mean(unflatten(sums), 1),
        "accuracy": lambda sums: _mean(unflatten(sums), 2),
    }
    return {
        "words": int(total[:, 0].sum()),
        **{name: measure(Tally(flat, of), samples, seed) for name, of in formulas.items()},
        "bins": _bins(total),
    }


def _mean(counts: Array, column: int) -> Array:
    return counts[..., column].sum(axis=-1) / counts[..., 0].sum(axis=-1)


def _bins(total: Array) -> list[dict[str, float]]:
    words = total[:, 0].sum()
    return [
        {
            "low": index / BINS,
            "high": (index + 1) / BINS,
            "share": float(count / words),
            "confidence": float(confidence / count),
            "accuracy": float(correct / count),
        }
        for index, (count, confidence, correct) in enumerate(total)
        if count
    ]


class Fit(NamedTuple):
    """A fitted temperature."""

    temperature: float
    """What logits are to be divided by."""
    error: float
    """The expected calibration error at it, 0 to 1."""
    error_before: float
    """The same at temperature 1."""


@torch.inference_mode()
def fit_temperature(batches: Iterable[tuple[Tensor, Tensor]]) -> Fit:
    """Find the temperature at which the most probable word is right as often as it is probable.

    It changes no word's rank. Guo et al. minimise the negative log-likelihood, which most of all
    heeds words that the model gave little probability; here the error itself is minimised. Reads
    the batches once and keeps none.

    Args:
        batches: logits or log-probabilities (W, V), of which some may be -inf, and the ids (W,) of
            the words that the references have there.

    Returns:
        One of `TEMPERATURES`.

    Raises:
        ValueError: there is no word.

    Source: Guo et al. 2017 (arXiv:1706.04599), sec. 4.2, temperature scaling.
    """
    tried = (1.0, *TEMPERATURES)
    counts = np.zeros((len(tried), BINS, 3))
    for logits, targets in batches:
        highest, words = logits.max(dim=1)
        correct = (words == targets).cpu().numpy()
        for index, temperature in enumerate(tried):
            logprobs = highest / temperature - (logits / temperature).logsumexp(dim=1)
            confidence = logprobs.double().exp().clamp(max=1).cpu().numpy()
            counts[index] += count_bins(confidence, correct)
    if not counts.any():
        raise ValueError("a temperature is fitted to at least one word, got none")
    before, *errors = expected_calibration_error(counts).tolist()
    best = int(np.argmin(errors))
    return Fit(TEMPERATURES[best], errors[best], before)
