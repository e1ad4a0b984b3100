"""Whether a score tells photos of a known kind from those of an unknown one.

Knows scores; knows nothing of photos or of models.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from train.bootstrap import Array, Measurement


def auroc(known: Sequence[float] | Array, unknown: Sequence[float] | Array) -> float:
    """Area under the ROC curve of a score that should be higher for the known.

    Returns:
        The share of pairs of a known and an unknown photo where the known one scores higher, ties
        counted half: 1 tells them apart, 0.5 is chance; nan where either has no photo.

    Source: Mann and Whitney 1947, the U statistic over the number of pairs.
    """
    pairs = _compare(known, unknown)
    return float(pairs.mean()) if pairs.size else float("nan")


def measure_auroc(
    known: Sequence[float] | Array,
    unknown: Sequence[float] | Array,
    samples: int,
    seed: int,
) -> Measurement:
    """The `auroc` and its 95 % bootstrap interval, over photos of both kinds.

    Args:
        samples: how often photos of each kind are drawn anew; 0 gives no interval.
    """
    score = auroc(known, unknown)
    if np.isnan(score):
        return {"value": None, "low": None, "high": None}
    if not samples:
        return {"value": score, "low": None, "high": None}
    pairs = _compare(known, unknown)  # (K, U)
    generator = np.random.default_rng(seed)
    rows, columns = (
        generator.multinomial(count, np.full(count, 1 / count), size=samples)
        for count in pairs.shape
    )
    areas = ((rows @ pairs) * columns).sum(axis=1) / pairs.size
    low, high = np.percentile(areas, [2.5, 97.5])
    return {"value": score, "low": float(low), "high": float(high)}


def familiarity_scores(
    known: Sequence[float] | Array,
    unknown: Sequence[float] | Array,
    samples: int,
    seed: int,
) -> dict[str, Any]:
    """How well familiarity tells photos like those of training from others.

    Args:
        known, unknown: familiarity of photos, any scale.
        samples, seed: see `measure_auroc`.

    Returns:
        The numbers of photos `known` and `unknown`; the measurement `auroc`; and `known_median` and
        `unknown_median`, None where there is no photo.
    """
    return {
        "known": len(known),
        "unknown": len(unknown),
        "auroc": measure_auroc(known, unknown, samples, seed),
        "known_median": float(np.median(known)) if len(known) else None,
        "unknown_median": float(np.median(unknown)) if len(unknown) else None,
    }


def _compare(known: Sequence[float] | Array, unknown: Sequence[float] | Array) -> Array:
    """For each pair (K, U) 1 where the known one is higher, 1/2 where both are alike, else 0."""
    high, low = np.asarray(known, float)[:, None], np.asarray(unknown, float)
    return (high > low) + (high == low) / 2
