"""WordNet's nouns: from a word to its senses, and from a sense to what it is a kind of.

Knows the files of Princeton's WordNet 3, as wndb(5WN) describes them; knows nothing of captions.
nltk's reader cannot read Debian's copy of them, which lacks `lexnames` and `index.sense`.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

ENDINGS = (
    *(("s", ""), ("ses", "s"), ("ves", "f"), ("xes", "x"), ("zes", "z"), ("ches", "ch")),
    *(("shes", "sh"), ("men", "man"), ("ies", "y")),
)
"""Of nouns in the plural and in the singular. Source: morphy(7WN), rules of detachment."""
FILES = ("data.noun", "index.noun", "noun.exc", "cntlist.rev")
NOUN = "1"
"""Part of speech in a sense key."""


class Synset(NamedTuple):
    """One sense of one or more nouns."""

    offset: int
    """Where it stands in data.noun; unique."""
    category: str
    """Number of its lexicographer file, two digits, see lexnames(5WN)."""
    lemmas: tuple[str, ...]
    """Its nouns as written, with underscores in place of spaces."""
    hypernyms: tuple[int, ...]
    """Offsets of what it is a kind, or an instance, of."""


class WordNet:
    """The nouns of a WordNet, read as they are needed."""

    def __init__(self, folder: Path) -> None:
        """Open a WordNet.

        Args:
            folder: with data.noun, index.noun, noun.exc and cntlist.rev; Debian's package
                wordnet-base puts them into /usr/share/wordnet.

        Raises:
            FileNotFoundError: one of the files is missing.
        """
        for name in FILES:
            if not (folder / name).is_file():
                raise FileNotFoundError(
                    f"no {name} in {folder}; name WordNet's folder "
                    "(Debian: apt install wordnet-base, /usr/share/wordnet)"
                )
        self._data = (folder / "data.noun").read_bytes()
        self._offsets = _read_index(folder / "index.noun")
        self._irregular = _read_exceptions(folder / "noun.exc")
        self._counts = _read_counts(folder / "cntlist.rev")
        self.synset = lru_cache(maxsize=None)(self._synset)
        self.kinds_of = lru_cache(maxsize=None)(self._kinds_of)

    def find(self, synset_id: str) -> Synset:
        """Find a synset by its id, such as n01440764.

        Raises:
            ValueError: no noun has that id.
        """
        if re.fullmatch(r"n\d{8}", synset_id) is None:
            raise ValueError(f"a noun's synset must be as n01440764, got {synset_id!r}")
        return self.synset(int(synset_id[1:]))

    def has(self, synset_id: str) -> bool:
        """Whether a noun has this id."""
        offset = synset_id.removeprefix("n")
        return self._data.startswith(f"{offset} ".encode(), int(offset))

    def _synset(self, offset: int) -> Synset:
        if not self.has(f"n{offset:08}"):
            raise ValueError(f"WordNet has no noun n{offset:08}")
        end = self._data.find(b"\n", offset)
        fields = self._data[offset:end].decode("utf-8").split(" | ", 1)[0].split()
        words = int(fields[3], 16)
        pointers = fields[5 + 2 * words :]
        above = [
            int(target)
            for symbol, target in zip(pointers[::4], pointers[1::4], strict=False)
            if symbol in ("@", "@i")
        ]
        return Synset(offset, fields[1], tuple(fields[4 : 4 + 2 * words : 2]), tuple(above))

    def senses(self, lemma: str) -> list[Synset]:
        """The senses of a lemma (lower case, underscores), most frequent first; perhaps none."""
        return [self.synset(offset) for offset in self._offsets.get(lemma, ())]

    def lemmas(self, form: str) -> list[str]:
        """The lemmas of which this form (lower case, underscores) may be the singular or plural.

        Source: morphy(7WN). Only the last word of a phrase is inflected.
        """
        found = [form, *self._irregular.get(form, ())]
        if len(found) == 1 and not form.endswith("ss"):
            found += [form[: -len(s)] + t for s, t in ENDINGS if form.endswith(s)]
        return [lemma for lemma in dict.fromkeys(found) if lemma in self._offsets]

    def is_mostly_noun(self, lemma: str) -> bool:
        """Whether texts have this lemma as a noun as often as any other part of speech."""
        counts = self._counts.get(lemma, Counter())
        return counts[NOUN] == max(counts.values(), default=0)

    def levels(self, synset: Synset) -> Iterator[list[Synset]]:
        """What a synset is a kind of: itself, its hypernyms, theirs, each synset once."""
        level, seen = [synset], {synset.offset}
        while level:
            yield level
            above = dict.fromkeys(offset for lower in level for offset in lower.hypernyms)
            level = [self.synset(offset) for offset in above if offset not in seen]
            seen |= above.keys()

    def _kinds_of(self, synset: Synset) -> frozenset[int]:
        """The offsets of a synset and of everything that it is a kind of."""
        return frozenset(above.offset for level in self.levels(synset) for above in level)


def _rows(path: Path) -> Iterator[list[str]]:
    """The fields of each row; the licence, whose rows begin with spaces, is left out."""
    for line in path.read_text(encoding="utf-8").split("\n"):
        if line and not line.startswith(" "):
            yield line.split()


def _read_index(path: Path) -> dict[str, tuple[int, ...]]:
    """Offsets of each lemma's senses."""
    return {
        fields[0]: tuple(int(offset) for offset in fields[-int(fields[2]) :])
        for fields in _rows(path)
    }


def _read_exceptions(path: Path) -> dict[str, tuple[str, ...]]:
    return {form: tuple(lemmas) for form, *lemmas in _rows(path)}


def _read_counts(path: Path) -> dict[str, Counter[str]]:
    """By lemma and part of speech, how often tagged texts have it."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for key, _, count in _rows(path):
        lemma, sense = key.split("%")
        part = sense[0].replace("5", "3")  # satellites are adjectives
        counts[lemma][part] += int(count)
    return dict(counts)
