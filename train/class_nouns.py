"""The table of the nouns that name an encoder's classes. Knows CSV; knows no model."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from captioner.vocabulary import ARTICLES

COLUMNS = ("class", "word", "plural", "article", "kind")


class ClassNoun(NamedTuple):
    """What people call the things of one class."""

    singular: str
    plural: str
    article: str
    kind: str
    """Of thing, such as "animal"."""


def read_nouns(path: Path) -> list[ClassNoun]:
    """Read a table with a row for each class, in any order; nouns in lower case.

    Args:
        path: CSV with the columns `class` (its number, from 0), `word`, `plural`, `article` and
            `kind`; others are ignored.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a column, a class or a noun is missing, or an article is none.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no such table of nouns: {path}")
    with path.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    try:
        rows.sort(key=lambda row: int(row["class"]))
        numbers = [int(row["class"]) for row in rows]
        nouns = [ClassNoun(*(row[name].strip().lower() for name in COLUMNS[1:])) for row in rows]
    except (KeyError, ValueError, AttributeError) as error:
        raise ValueError(f"{path} must have the columns {', '.join(COLUMNS)}: {error!r}") from error
    if not rows or numbers != list(range(len(rows))) or not all(map(all, nouns)):
        raise ValueError(f"{path} must have one row with nouns for each class, numbered from 0")
    if odd := {noun.article for noun in nouns} - {*ARTICLES}:
        raise ValueError(f"{path}: article must be {' or '.join(ARTICLES)}, got {min(odd)!r}")
    return nouns


def noun_forms(nouns: Iterable[ClassNoun]) -> list[str]:
    """All singulars and plurals, each once."""
    return list(dict.fromkeys(form for noun in nouns for form in noun[:2]))


def phrases(nouns: Sequence[ClassNoun]) -> list[str]:
    """Those of several words, such as "coffee pot"."""
    return [form for form in noun_forms(nouns) if " " in form]
