"""The tables of the measures, on made-up scores."""

from tests.test_report import measured
from train.measure_tables import (
    calibration_table,
    familiarity_table,
    invented_table,
    named_table,
    reliability_table,
)


def test_named_things_and_false_dogs_are_in_percent() -> None:
    shares = {"named": measured(0.25, 0.05), "named_beyond_dogs": measured(0.067, 0.02)}
    scores = {"photos": 150, "beyond_dogs": 134, "false_dogs": measured(None), **shares}
    assert named_table({"3": scores}).splitlines() == [
        "| 150 named photos, % | names the thing | of 134 beyond dogs | a false dog |",
        "|---|---|---|---|",
        "| beam 3 | 25.0 ± 5.0 | 6.7 ± 2.0 | - |",
    ]


def test_invented_objects_are_per_caption_and_in_percent() -> None:
    shares = {"captions": measured(0.5), "objects_share": measured(0.125, 0.01)}
    scores = {"objects": 1234, "per_caption": measured(0.456, 0.05), **shares}
    assert invented_table({"1": scores}).splitlines() == [
        "| invented objects | objects | per caption | captions with one, % | of the objects, % |",
        "|---|---|---|---|---|",
        "| greedy | 1,234 | 0.46 ± 0.05 | 50.0 | 12.5 ± 1.0 |",
    ]


def test_calibration_and_its_bins_are_in_percent() -> None:
    bins = [{"low": 0.8, "high": 13 / 15, "share": 0.25, "confidence": 0.84, "accuracy": 0.7}]
    means = {"confidence": measured(0.61), "accuracy": measured(0.59)}
    scores = {"words": 12345, "error": measured(0.0301, 0.004), **means, "bins": bins}
    assert calibration_table({"before": scores, "after": scores}).splitlines() == [
        "| calibration, % | words | expected calibration error | mean confidence | accuracy |",
        "|---|---|---|---|---|",
        "| before | 12,345 | 3.0 ± 0.4 | 61.0 | 59.0 |",
        "| after | 12,345 | 3.0 ± 0.4 | 61.0 | 59.0 |",
    ]
    assert reliability_table(scores).splitlines() == [
        "| confidence, % | share of words | mean confidence | accuracy |",
        "|---|---|---|---|",
        "| 80 to 87 | 25.0 | 84.0 | 70.0 |",
    ]


def test_familiarity_has_the_area_and_medians() -> None:
    scores = {"known": 1300, "unknown": 150, "auroc": measured(0.9312, 0.015)}
    medians = {"known_median": 0.5, "unknown_median": None}
    assert familiarity_table({"val": {**scores, **medians}}).splitlines() == [
        "| familiarity | known | unknown | AUROC | median, known | median, unknown |",
        "|---|---|---|---|---|---|",
        "| val | 1,300 | 150 | 0.931 ± 0.015 | 0.50 | - |",
    ]
