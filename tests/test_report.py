"""The tables of a report, on a made-up one."""

from typing import Any

from train.report import table


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


def test_what_was_not_measured_has_no_table() -> None:
    short = {name: report()[name] for name in ("settings", "scores", "diversity")}
    assert len(table(short).split("\n\n")) == 2
