"""How captions are written: as text, JSON Lines or CSV. Knows captions and text, but no files.

A format makes one or more records of each photo: lines, or rows of a table, that begin with the
path of the photo.
"""

import csv
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from captioner.captions import PROBABILITY_PLACES, SCORE_PLACES, Caption, Word
from captioner.cli.photos import Answer

COLUMNS = ("photo", "rank", "caption", "score", "perplexity", "words", "familiarity")
COLUMN_WITH_OWN_CAPTION = "unknown_words"
OWN_RANK = 0
"""The rank of the user's own caption in a table; the model's begin with 1."""
FORMULA_STARTS = (*"=+-@\t\r\n", *"\uff1d\uff0b\uff0d\uff20")
"""Cells that begin with these are formulas to some spreadsheets; the last four are full-width."""
LEAST_RECOGNIZED = 0.01
"""A smaller share of a word's probability is not shown to people."""
OTHER_OPTIONS = "it was written with another --num-captions, or with or without --caption"


class Record(NamedTuple):
    """A record that was read back."""

    photo: str
    rank: int


@dataclass(frozen=True)
class Format(ABC):
    """A way to write answers."""

    num_captions: int = 1
    """The maximum number of generated captions of a photo."""
    with_own_caption: bool = False
    """Whether answers hold the user's caption too."""

    @property
    def header(self) -> str:
        """What comes before all records."""
        return ""

    @abstractmethod
    def write(self, answer: Answer) -> str:
        """All records of one answer, each with a line break after it.

        Raises:
            ValueError: this format cannot hold them.
        """


@dataclass(frozen=True)
class Text(Format):
    """Lines for people: the path, a tab, the caption."""

    alone: bool = False
    """Whether the path is left out."""

    def write(self, answer: Answer) -> str:
        """As Format."""
        path = answer.photo.path
        lines = [str(caption) for caption in answer.captions]
        if answer.scored:
            lines += _describe_own_caption(answer.scored, answer.captions[0])
        if not self.alone:
            if "\n" in path or "\r" in path:
                raise ValueError("its path has a line break in it; use --format jsonl or csv")
            lines = [f"{path}\t{line}" for line in lines]
        return "".join(f"{line}\n" for line in lines)


class JsonLines(Format):
    """JSON objects with all data of each caption, one a line."""

    def write(self, answer: Answer) -> str:
        """As Format. The user's caption is in the first object of a photo."""
        lines: list[str] = []
        for rank, caption in enumerate(answer.captions, start=1):
            data: dict[str, Any] = {"photo": answer.photo.path}
            if self.num_captions > 1:
                data["rank"] = rank
            data.update(caption.to_json())
            if answer.scored and rank == 1:
                data["scored"] = answer.scored.to_json()
            lines.append(json.dumps(data) + "\n")
        return "".join(lines)

    def read(self, line: str) -> Record:
        """Read a line back.

        Raises:
            ValueError: `write` did not write it, or wrote it with other options.
        """
        data = json.loads(line)
        if not isinstance(data, dict) or not isinstance(data.get("photo"), str):
            raise ValueError("it is not an object with a photo")
        rank = data.get("rank", 1)
        if not isinstance(rank, int):
            raise ValueError("its rank is not a whole number")
        scored = self.with_own_caption and rank == 1
        if ("rank" in data) != (self.num_captions > 1) or ("scored" in data) != scored:
            raise ValueError(OTHER_OPTIONS)
        return Record(data["photo"], rank)

    def may_begin(self, text: str) -> bool:
        """Whether a text without a line break may be a first line that was cut off."""
        start = '{"photo": "'
        return text.startswith(start) or start.startswith(text)


class Csv(Format):
    """A table for spreadsheets, one caption a row."""

    @property
    def header(self) -> str:
        """The names of the columns, with a line break."""
        return _row((*COLUMNS, COLUMN_WITH_OWN_CAPTION) if self.with_own_caption else COLUMNS)

    def write(self, answer: Answer) -> str:
        """As Format."""
        ranked = list(enumerate(answer.captions, start=1))
        if answer.scored:
            ranked.append((OWN_RANK, answer.scored))
        return "".join(self._caption_row(answer.photo.path, *item) for item in ranked)

    def _caption_row(self, photo: str, rank: int, caption: Caption) -> str:
        words = (
            f"{_without_spaces(word.text)}:{round(word.probability, PROBABILITY_PLACES)}"
            for word in caption.words
        )
        familiarity = caption.familiarity
        cells: list[str | float] = [
            f"./{photo}" if photo.startswith(FORMULA_STARTS) else photo,
            rank,
            _no_formula(str(caption)),
            round(caption.score, SCORE_PLACES),
            round(caption.perplexity, SCORE_PLACES),
            _no_formula(" ".join(words)),
            "" if familiarity is None else round(familiarity, PROBABILITY_PLACES),
        ]
        if self.with_own_caption:
            unknown = map(_without_spaces, caption.unknown_words)
            cells.append(_no_formula(" ".join(unknown)))
        return _row(cells)


FORMATS: dict[str, type[Format]] = {"text": Text, "jsonl": JsonLines, "csv": Csv}


def percent(probability: float) -> str:
    """A probability for people, with more digits where it is small, down to 0.01%."""
    if probability < 0.0001:
        return "<0.01%"
    return f"{probability:.0%}" if probability >= 0.1 else f"{probability:.2%}"


def _describe_own_caption(scored: Caption, generated: Caption) -> list[str]:
    lines = [
        f"your caption: {'  '.join(map(_describe_word, scored.words))}",
        f"perplexity: {scored.perplexity:.1f} for your caption, {generated.perplexity:.1f} for the "
        "model's",
    ]
    if scored.familiarity is not None:
        lines.append(f"familiarity of the photo: {percent(scored.familiarity)}")
    return lines


def _describe_word(word: Word) -> str:
    notes = [] if word.known else ["unknown"]
    if word.recognized >= LEAST_RECOGNIZED:
        notes.append(f"{percent(word.recognized)} recognized")
    if word.blind is not None:
        notes.append(f"{percent(word.blind)} blind")
    shown = f"{word.text} {percent(word.probability)}"
    return f"{shown} ({', '.join(notes)})" if notes else shown


def _row(cells: Sequence[str | float]) -> str:
    """One row. All text is quoted, since it may hold what a spreadsheet splits cells at."""
    line = io.StringIO()
    csv.writer(line, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _without_spaces(word: str) -> str:
    """A word as one of several between spaces: `coffee_pot`, as in the names of pictures."""
    return "_".join(word.split())


def _no_formula(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text
