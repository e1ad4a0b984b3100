"""The Markdown tables of an evaluation's report. Knows the report, and nothing of how it came."""

from collections.abc import Sequence
from typing import Any

from train.bootstrap import Measurement

REFERENCES = "references"
"""Row of the attention at people's own words."""


def table(report: dict[str, Any]) -> str:
    """All tables of a report; those of what was not measured are left out.

    Of several data sets' reports, each set's tables stand under a heading.
    """
    if "sets" in report:
        return "\n\n".join(f"## {name}\n\n{table(part)}" for name, part in report["sets"].items())
    tables = [score_table(report), diversity_table(report)]
    if "attention" in report:
        tables.append(attention_table(report))
    if "deletion" in report:
        tables.append(deletion_table(report))
    return "\n\n".join(tables)


def score_table(report: dict[str, Any]) -> str:
    """Scores times 100, a row per beam size, each with half of its 95 % interval."""
    scores = report["scores"]
    names = list(next(iter(scores.values())))
    rows = [
        [_label(way), *(_cell(found[name], 1) for name in names)] for way, found in scores.items()
    ]
    return _markdown([_split(report), *names], rows)


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
        [_label(way), f"{found['distinct_words']:,}", f"{found['mean_length']:.1f}"]
        + [f"{found[name]:.1%}".replace("%", " %") for name in shares.values()]
        for way, found in report["diversity"].items()
    ]
    return _markdown(["captions", "distinct words", "mean length", *shares], rows)


def attention_table(report: dict[str, Any]) -> str:
    """How far attention lies in the boxes of what words name, in percent."""
    columns = {
        "in the boxes": "mass",
        "of a uniform map": "uniform_mass",
        "pointing game": "pointing",
        "of a random region": "uniform_pointing",
    }
    rows = [
        [_label(way), f"{found['words']:,}"]
        + [_cell(found[name], 100) for name in columns.values()]
        for way, found in report["attention"].items()
    ]
    return _markdown(["attention, %", "words", *columns], rows)


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
    cells = [_cell(found[name], scale) for name, scale in columns.values()]
    cells[-1] = _cell(found["ratio"], 1, places=2)
    return _markdown([title, *columns], [["drop of probability, %", *cells]])


def _split(report: dict[str, Any]) -> str:
    settings = report["settings"]
    return f"{settings['split']}, {settings['photos']} photos"


def _label(way: str) -> str:
    return {"1": "greedy", REFERENCES: REFERENCES}.get(way, f"beam {way}")


def _cell(found: Measurement, scale: float, places: int = 1) -> str:
    value, low, high = (found[name] for name in ("value", "low", "high"))
    if value is None:
        return "-"
    text = f"{scale * value:.{places}f}"
    if low is None or high is None:
        return text
    return f"{text} ± {scale * (high - low) / 2:.{places}f}"


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [" | ".join(cells) for cells in (header, *rows)]
    lines.insert(1, "|".join(["---"] * len(header)))
    return "\n".join([f"| {lines[0]} |", f"|{lines[1]}|", *(f"| {line} |" for line in lines[2:])])
