"""What captions look like when they are written, and how a record is read back to go on after it.

Knows captions and text; knows nothing of files. A format makes one or more records of each photo:
lines, or rows of a table, that say which photo they are of.
"""

import csv
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from captioner.captions import PROBABILITY_PLACES, SCORE_PLACES, Caption
from captioner.command_line.captioning import Answer

COLUMNS = ("photo", "rank", "caption", "score", "perplexity", "words")
COLUMN_WITH_OWN_WORDS = "unknown_words"
OWN_RANK = 0
"""The rank of a person's own caption in a table; the model's begin with 1."""
FORMULA_STARTS = (*"=+-@\t\r\n", *"\uff1d\uff0b\uff0d\uff20")
"""What a cell begins with that some spreadsheet takes for a formula; the last four are wide."""
OTHER_OPTIONS = "it was written with another --num-captions, or with or without --caption"


class Record(NamedTuple):
    """A record that was read back."""

    photo: str
    key: str
    """What no other record of the same answer has."""


@dataclass(frozen=True)
class Format(ABC):
    """A way to write answers, and to know them again."""

    num_captions: int = 1
    """Most captions of the model's own a photo."""
    with_own_words: bool = False
    """Whether answers hold a person's caption too."""

    multiline: ClassVar[bool] = False
    """Whether a record may have line breaks, between quotation marks."""

    @property
    def header(self) -> str:
        """What stands before all records."""
        return ""

    @property
    @abstractmethod
    def most_records(self) -> int:
        """A photo that has so many has all; one with fewer may have all, or not."""

    @abstractmethod
    def write(self, answer: Answer) -> str:
        """All records of one answer, each with a line break after it.

        Raises:
            ValueError: this format cannot hold them.
        """

    @abstractmethod
    def read(self, record: str) -> Record:
        """Read one record back.

        Raises:
            ValueError: `write` did not write it, or had other fields.
        """

    @abstractmethod
    def may_begin(self, text: str) -> bool:
        """Whether this may be the beginning of a first record, or of the header, that was cut."""

    def name(self, photo: str) -> str:
        """A photo's path as its records have it."""
        return photo


@dataclass(frozen=True)
class Text(Format):
    """Lines for people: the path, a tab, the caption."""

    alone: bool = False
    """Whether the path is left out."""

    @property
    def most_records(self) -> int:
        """Two lines more, where a person's words are scored."""
        return self.num_captions + 2 * self.with_own_words

    def write(self, answer: Answer) -> str:
        """As Format."""
        path = answer.photo.path
        lines = [str(caption) for caption in answer.captions]
        if answer.scored:
            lines += _describe_own_words(answer.scored, answer.captions[0])
        if not self.alone:
            if "\n" in path or "\r" in path:
                raise ValueError("its path has a line break in it; use --format jsonl or csv")
            lines = [f"{path}\t{line}" for line in lines]
        return "".join(f"{line}\n" for line in lines)

    def read(self, record: str) -> Record:
        """As Format."""
        photo, tab, text = record.rstrip("\n").rpartition("\t")
        if not tab:
            raise ValueError("there is no tab in it")
        return Record(photo, text)

    def may_begin(self, text: str) -> bool:
        """Of no text can it be said: it may be anybody's."""
        return False


class JsonLines(Format):
    """JSON objects with all there is, one a line."""

    @property
    def most_records(self) -> int:
        """One a caption: a person's words stand in the first."""
        return self.num_captions

    def write(self, answer: Answer) -> str:
        """As Format."""
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

    def read(self, record: str) -> Record:
        """As Format."""
        data = json.loads(record)
        if not isinstance(data, dict) or not isinstance(data.get("photo"), str):
            raise ValueError("it is no object of a photo")
        rank = data.get("rank", 1)
        scored = self.with_own_words and rank == 1
        if ("rank" in data) != (self.num_captions > 1) or ("scored" in data) != scored:
            raise ValueError(OTHER_OPTIONS)
        return Record(data["photo"], str(rank))

    def may_begin(self, text: str) -> bool:
        """As Format."""
        start = '{"photo": "'
        return text.startswith(start) or start.startswith(text)


class Csv(Format):
    """A table for spreadsheets, one caption a row."""

    multiline = True

    @property
    def header(self) -> str:
        """The names of the columns, with a line break."""
        return _row((*COLUMNS, COLUMN_WITH_OWN_WORDS) if self.with_own_words else COLUMNS)

    @property
    def most_records(self) -> int:
        """One a caption, a person's among them."""
        return self.num_captions + self.with_own_words

    def write(self, answer: Answer) -> str:
        """As Format."""
        ranked = list(enumerate(answer.captions, start=1))
        if answer.scored:
            ranked.append((OWN_RANK, answer.scored))
        return "".join(self._caption_row(answer.photo.path, *item) for item in ranked)

    def read(self, record: str) -> Record:
        """As Format."""
        try:
            (cells,) = csv.reader([record], strict=True)
        except csv.Error as error:
            raise ValueError(str(error)) from error
        if len(cells) != len(COLUMNS) + self.with_own_words:
            raise ValueError(f"it has {len(cells)} columns")
        return Record(cells[0], cells[1])

    def may_begin(self, text: str) -> bool:
        """As Format."""
        return self.header.startswith(text)

    def name(self, photo: str) -> str:
        """The path, from the current folder on where it would otherwise begin a formula."""
        return f"./{photo}" if photo.startswith(FORMULA_STARTS) else photo

    def _caption_row(self, photo: str, rank: int, caption: Caption) -> str:
        words = (f"{w.text}:{round(w.probability, PROBABILITY_PLACES)}" for w in caption.words)
        cells: list[str | float] = [
            self.name(photo),
            rank,
            _no_formula(str(caption)),
            round(caption.score, SCORE_PLACES),
            round(caption.perplexity, SCORE_PLACES),
            _no_formula(" ".join(words)),
        ]
        if self.with_own_words:
            cells.append(_no_formula(" ".join(caption.unknown_words)))
        return _row(cells)


FORMATS: dict[str, type[Format]] = {"text": Text, "jsonl": JsonLines, "csv": Csv}


def _describe_own_words(scored: Caption, own: Caption) -> list[str]:
    words = "  ".join(
        f"{word.text} {percent(word.probability)}{'' if word.known else ' (unknown)'}"
        for word in scored.words
    )
    return [
        f"your words: {words}",
        f"how surprised the model is (perplexity): {scored.perplexity:.1f} at your words, "
        f"{own.perplexity:.1f} at its own",
    ]


def percent(probability: float) -> str:
    """A probability as a person reads it; small ones are told apart down to 0.01%."""
    if probability < 0.0001:
        return "<0.01%"
    return f"{probability:.0%}" if probability >= 0.1 else f"{probability:.2%}"


def _row(cells: Sequence[str | float]) -> str:
    """One row. Text is quoted: what a spreadsheet takes for the end of a cell may stand in it."""
    line = io.StringIO()
    csv.writer(line, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _no_formula(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text
