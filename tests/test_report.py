"""The tables of a report, on a made-up one."""

from typing import Any

from train.report import (
    calibration_table,
    familiarity_table,
    invented_table,
    named_table,
    reliability_table,
    table,
)


def measured(value: float | None, half: float | None = None) -> dict[str, float | None]:
    if value is None or half is None:
        return {"value": value, "low": None, "high": None}
    return {"value": value, "low": value - half, "high": value + half}


def report() -> dict[str, Any]:
    kinds = ("word_twice_in_a_row", "repeated_bigram", "repeated_trigram", "novel", "duplicate")
    looks = ("mass", "uniform_mass", "pointing", "uniform_pointing")
    return {
        "settings": {"split": "val", "photos": 7},
        "scores": {"1": {"BLEU-1": measured(60.91, 1.26)}, "3": {"BLEU-1": measured(63.0)}},
        "diversity": {
            "1": {
                "distinct_words": 1234,
                "mean_length": 9.87,
                **dict(zip(kinds, (0, 0.25, 0.125, 0.9, 1), strict=True)),
            }
        },
        "attention": {
            "references": {"words": 1000, **{name: measured(0.4, 0.02) for name in looks}},
            "3": {"words": 0, **{name: measured(None) for name in looks}},
        },
        "deletion": {
            "photos": 7,
            "words": 70,
            "attention": measured(0.1, 0.01),
            "random": measured(0.05, 0.01),
            "reverse": measured(0.02, 0.01),
            "ratio": measured(2, 0.25),
        },
    }


def test_each_table_says_what_was_measured() -> None:
    scores, diversity, attention, deletion = table(report()).split("\n\n")
    assert scores.splitlines() == [
        "| val, 7 photos | BLEU-1 |",
        "|---|---|",
        "| greedy | 60.9 ± 1.3 |",
        "| beam 3 | 63.0 |",
    ]
    row = "| greedy | 1,234 | 9.9 | 90.0 % | 100.0 % | 0.0 % | 25.0 % | 12.5 % |"
    assert diversity.splitlines()[2:] == [row]
    assert attention.splitlines()[2:] == [
        "| references | 1,000 | 40.0 ± 2.0 | 40.0 ± 2.0 | 40.0 ± 2.0 | 40.0 ± 2.0 |",
        "| beam 3 | 0 | - | - | - | - |",
    ]
    assert deletion.splitlines()[2:] == [
        "| drop of probability, % | 10.0 ± 1.0 | 5.0 ± 1.0 | 2.0 ± 1.0 | 2.00 ± 0.25 |"
    ]


def measures() -> dict[str, Any]:
    bins = [{"low": 0.8, "high": 13 / 15, "share": 1, "confidence": 0.84, "accuracy": 0.7}]
    means = {name: measured(0.5) for name in ("error", "confidence", "accuracy")}
    shares = {name: measured(0.5) for name in ("per_caption", "captions", "objects_share")}
    return {
        "invented": {"1": {"objects": 9, **shares}},
        "calibration": {"words": 7, **means, "bins": bins},
    }


def named() -> dict[str, Any]:
    shares = {name: measured(0.5) for name in ("named", "named_beyond_dogs", "false_dogs")}
    medians = {"known_median": 0.5, "unknown_median": 0.25}
    familiarity = {"known": 7, "unknown": 2, "auroc": measured(0.75), **medians}
    return {
        "named": {"1": {"photos": 2, "beyond_dogs": 1, **shares}},
        "familiarity": {"walls": familiarity},
    }


def test_the_tables_of_one_set_are_followed_by_those_of_named_photos() -> None:
    tables = table({**report(), **measures(), **named()}).split("\n\n")
    assert [text[2:].split(" |")[0] for text in tables] == [
        "val, 7 photos",
        "captions",
        "invented objects",
        "attention, %",
        "deletion, 7 photos, 70 words",
        "calibration, %",
        "confidence, %",
        "2 named photos, %",
        "familiarity",
    ]
    assert "| references | 7 | 50.0 |" in tables[5]


def test_of_several_sets_each_has_its_heading_and_the_named_photos_theirs() -> None:
    """The named photos are the same for all sets."""
    tables = table({"sets": {"walls": report(), "floors": measures()}, **named()})
    headings = [line for line in tables.splitlines() if line.startswith("## ")]
    assert headings == ["## walls", "## floors", "## named photos"]
    assert "## named photos\n\n| 2 named photos, % |" in tables
    assert "named photos" not in table({"sets": {"walls": report(), "floors": measures()}})


def test_scores_say_that_the_gate_was_closed() -> None:
    closed = {**report(), "settings": {"split": "val", "photos": 7, "closed_gate": True}}
    assert table(closed).startswith("| val, 7 photos, gate closed |")
    closed["settings"]["closed_gate"] = False
    assert table(closed).startswith("| val, 7 photos |")


def test_what_was_not_measured_has_no_table() -> None:
    short = {name: report()[name] for name in ("settings", "scores", "diversity")}
    assert len(table(short).split("\n\n")) == 2


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
