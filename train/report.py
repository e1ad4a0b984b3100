"""The Markdown tables of an evaluation's report. Knows the report, and nothing of how it came."""

from collections.abc import Callable
from typing import Any

from train.markdown import cell, label, markdown, percents
from train.measure_tables import (
    calibration_table,
    familiarity_table,
    invented_table,
    named_table,
    reliability_table,
)

REFERENCES = "references"
"""Row of what was measured at people's own words."""


def score_table(report: dict[str, Any]) -> str:
    """Scores times 100, a row per beam size, each with half of its 95 % interval."""
    scores = report["scores"]
    names = list(next(iter(scores.values())))
    rows = [
        [label(way), *(cell(found[name], 1) for name in names)] for way, found in scores.items()
    ]
    return markdown([_split(report), *names], rows)


def diversity_table(report: dict[str, Any]) -> str:
    """How captions vary, a row per beam size."""
    shares = {
        "never in train": "novel",
        "given twice": "duplicate",
        "word twice in a row": "word_twice_in_a_row",
        "bigram twice": "repeated_bigram",
        "trigram twice": "repeated_trigram",
    }
    rows = [
        [label(way), f"{found['distinct_words']:,}", f"{found['mean_length']:.1f}"]
        + [f"{found[name]:.1%}".replace("%", " %") for name in shares.values()]
        for way, found in report["diversity"].items()
    ]
    return markdown(["captions", "distinct words", "mean length", *shares], rows)


def attention_table(report: dict[str, Any]) -> str:
    """How far attention lies in the boxes of what words name, in percent."""
    columns = {
        "in the boxes": "mass",
        "of a uniform map": "uniform_mass",
        "pointing game": "pointing",
        "of a random region": "uniform_pointing",
    }
    rows = [
        [label(way), f"{found['words']:,}", *percents(found, columns)]
        for way, found in report["attention"].items()
    ]
    return markdown(["attention, %", "words", *columns], rows)


def deletion_table(report: dict[str, Any]) -> str:
    """How far words lose probability as regions are hidden, in percent points."""
    found = report["deletion"]
    columns = {
        "most attended first": ("attention", 100),
        "in random order": ("random", 100),
        "least attended first": ("reverse", 100),
        "most attended / random": ("ratio", 1),
    }
    title = f"deletion, {found['photos']:,} photos, {found['words']:,} words"
    cells = [cell(found[name], scale) for name, scale in columns.values()]
    cells[-1] = cell(found["ratio"], 1, places=2)
    return markdown([title, *columns], [["drop of probability, %", *cells]])


def _split(report: dict[str, Any]) -> str:
    settings = report["settings"]
    gate = ", gate closed" if settings.get("closed_gate") else ""
    return f"{settings['split']}, {settings['photos']} photos{gate}"


def _calibration_tables(report: dict[str, Any]) -> str:
    scores = report["calibration"]
    return f"{calibration_table({REFERENCES: scores})}\n\n{reliability_table(scores)}"


TABLES: dict[str, Callable[[dict[str, Any]], str]] = {
    "scores": score_table,
    "diversity": diversity_table,
    "invented": lambda report: invented_table(report["invented"]),
    "attention": attention_table,
    "deletion": deletion_table,
    "calibration": _calibration_tables,
    "named": lambda report: named_table(report["named"]),
    "familiarity": lambda report: familiarity_table(report["familiarity"]),
}
"""By the part of a report that they show, in the order in which they are printed."""


def table(report: dict[str, Any]) -> str:
    """All tables of a report; those of what was not measured are left out.

    Of several data sets' reports, each set's tables stand under a heading, and so do those of what
    was measured once for all of them.
    """
    tables = "\n\n".join(show(report) for part, show in TABLES.items() if part in report)
    if "sets" not in report:
        return tables
    sections = [(name, table(part)) for name, part in report["sets"].items()]
    sections += [("named photos", tables)] if tables else []
    return "\n\n".join(f"## {heading}\n\n{text}" for heading, text in sections)
