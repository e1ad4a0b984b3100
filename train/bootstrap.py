"""Scores with bootstrap intervals over photos.

Knows statistics per photo and formulas on their sums; knows nothing of texts or of models.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]

Measurement = dict[str, float | None]
"""A score as plain data: its `value`, and `low` and `high`, the ends of its 95 % interval; None
where it is undefined."""


class Tally(NamedTuple):
    """A score as a formula on sums over photos, so that every sample of photos has one."""

    statistics: Array  # (photos, S)
    formula: Callable[[Array], Array]  # sums (..., S) -> scores (...)

    @property
    def score(self) -> float:
        """The score of the photos, each taken once; nan where the formula divides 0 by 0."""
        return float(self._of(self.statistics.sum(axis=0)))

    def samples(self, count: int, seed: int) -> Array:
        """The scores (count,) of samples of as many photos, drawn with replacement."""
        return self._of(_draws(len(self.statistics), count, seed) @ self.statistics)

    def _of(self, sums: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.formula(sums)


def ratio(numerators: Sequence[float] | Array, denominators: Sequence[float] | Array) -> Tally:
    """The sum of one statistic (photos,) over the sum of another."""
    columns = np.stack([np.asarray(numerators, float), np.asarray(denominators, float)], axis=1)
    return Tally(columns, lambda sums: sums[..., 0] / sums[..., 1])


def measure(tally: Tally, samples: int, seed: int) -> Measurement:
    """A score and its 95 % bootstrap interval over photos.

    Args:
        samples: how often photos are drawn anew; 0 gives no interval.
        seed: of the draws, which are the same for all scores of as many photos.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, ch. 13, the percentile interval.
    """
    score = tally.score
    if not np.isfinite(score):
        return {"value": None, "low": None, "high": None}
    if not samples:
        return {"value": score, "low": None, "high": None}
    low, high = np.nanpercentile(tally.samples(samples, seed), [2.5, 97.5])
    return {"value": score, "low": float(low), "high": float(high)}


@lru_cache(maxsize=2)  # one matrix serves all scores of an evaluation
def _draws(photos: int, samples: int, seed: int) -> Array:
    """How often each sample holds each photo, (samples, photos)."""
    generator = np.random.default_rng(seed)
    drawn = generator.integers(photos, size=(samples, photos))
    counts = [np.bincount(sample, minlength=photos) for sample in drawn]
    return np.stack(counts).astype(np.float64)
