"""The Markdown tables of an evaluation's report. Knows the report, and nothing of how it came."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from train.bootstrap import Measurement

Scores = Mapping[str, Mapping[str, Any]]

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


def label(way: str) -> str:
    """The first cell of a row: a beam size in words, any other text as it is."""
    if way == "1":
        return "greedy"
    return f"beam {way}" if way.isdecimal() else way


def cell(found: Measurement, scale: float, places: int = 1) -> str:
    """A measurement times a scale, with half of its 95 % interval; - where it is undefined."""
    value, low, high = (found[name] for name in ("value", "low", "high"))
    if value is None:
        return "-"
    text = f"{scale * value:.{places}f}"
    if low is None or high is None:
        return text
    return f"{text} ± {scale * (high - low) / 2:.{places}f}"


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; its cells must not hold a bar."""
    lines = [" | ".join(cells) for cells in (header, *rows)]
    lines.insert(1, "|".join(["---"] * len(header)))
    return "\n".join([f"| {lines[0]} |", f"|{lines[1]}|", *(f"| {line} |" for line in lines[2:])])


def percents(found: Mapping[str, Any], columns: Mapping[str, str]) -> list[str]:
    """Cells of measurements in percent; columns are the measurements' names by their headings."""
    return [cell(found[name], 100) for name in columns.values()]


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
