"""Markdown tables of measurements. Knows cells and rows; knows nothing of what is measured."""

from collections.abc import Mapping, Sequence
from typing import Any

from train.bootstrap import Measurement


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
