"""The Markdown tables of named and invented objects, of calibration and of familiarity.

Knows the scores, and nothing of how they came.
"""

from collections.abc import Mapping
from typing import Any

from train.markdown import cell, label, markdown, percents

Scores = Mapping[str, Mapping[str, Any]]


def named_table(scores: Scores) -> str:
    """Of `named.named_scores` by beam size, in percent."""
    first = next(iter(scores.values()))
    columns = {
        "names the thing": "named",
        f"of {first['beyond_dogs']:,} beyond dogs": "named_beyond_dogs",
        "a false dog": "false_dogs",
    }
    rows = [[label(way), *percents(found, columns)] for way, found in scores.items()]
    return markdown([f"{first['photos']:,} named photos, %", *columns], rows)


def invented_table(scores: Scores) -> str:
    """Of `objects.invented_scores` by beam size."""
    columns = {"captions with one, %": "captions", "of the objects, %": "objects_share"}
    rows = [
        [
            label(way),
            f"{found['objects']:,}",
            cell(found["per_caption"], 1, places=2),
            *percents(found, columns),
        ]
        for way, found in scores.items()
    ]
    return markdown(["invented objects", "objects", "per caption", *columns], rows)


def calibration_table(scores: Scores) -> str:
    """Of `calibration.calibration_scores` by any name, such as "before", in percent."""
    columns = {
        "expected calibration error": "error",
        "mean confidence": "confidence",
        "accuracy": "accuracy",
    }
    rows = [
        [name, f"{found['words']:,}", *percents(found, columns)] for name, found in scores.items()
    ]
    return markdown(["calibration, %", "words", *columns], rows)


def reliability_table(scores: Mapping[str, Any]) -> str:
    """The bins of `calibration.calibration_scores`, in percent."""
    columns = ["share of words", "mean confidence", "accuracy"]
    rows = [
        [f"{100 * found['low']:.0f} to {100 * found['high']:.0f}"]
        + [f"{100 * found[name]:.1f}" for name in ("share", "confidence", "accuracy")]
        for found in scores["bins"]
    ]
    return markdown(["confidence, %", *columns], rows)


def familiarity_table(scores: Scores) -> str:
    """Of `familiarity.familiarity_scores` by the name of the known photos."""
    rows = [
        [
            name,
            f"{found['known']:,}",
            f"{found['unknown']:,}",
            cell(found["auroc"], 1, places=3),
            _median(found["known_median"]),
            _median(found["unknown_median"]),
        ]
        for name, found in scores.items()
    ]
    header = ["familiarity", "known", "unknown", "AUROC", "median, known", "median, unknown"]
    return markdown(header, rows)


def _median(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
