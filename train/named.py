"""Whether captions name the thing that a photo is known to show, and whether they see dogs.

Knows class labels and captions; knows nothing of references or of models.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from captioner.vocabulary import tokenize
from train.bootstrap import measure, ratio
from train.wordnet import Synset, WordNet
from train.wordnet_nouns import phrases, split_phrases, vague_offsets

LEVELS = 5
"""A class may be named by what stands up to so many hypernyms above it."""
DOG = "n02084071"
DOG_NAMES = frozenset({"doggy", "doggie", "pup", "pooch", "mutt"})
"""What captions call a dog, besides names of kinds of dog."""

COLUMNS = ("photo", "class", "synset", "label")


class NamedPhoto(NamedTuple):
    """A photo of a thing of a known class."""

    photo: str
    synset: str
    """WordNet 3.0's id of the class, such as n01440764."""


def read_labels(path: Path) -> list[NamedPhoto]:
    """Read which class each photo shows.

    Args:
        path: comma-separated, with the columns `photo,class,synset,label`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a column or a value is missing.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no such file of labels: {path}")
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise ValueError(f"{path} must begin with {','.join(COLUMNS)!r}")
        photos = [NamedPhoto(row["photo"], row["synset"]) for row in reader]
    for number, photo in enumerate(photos, start=2):
        if not photo.photo or not photo.synset:
            raise ValueError(f"{path} line {number} lacks its photo or its synset")
    return photos


class Namer:
    """Says which photos' captions name what is shown."""

    def __init__(self, wordnet: WordNet) -> None:
        """Take the WordNet whose ids the classes have."""
        self._wordnet = wordnet
        self._vague = vague_offsets(wordnet)
        vague = (wordnet.synset(offset).lemmas for offset in self._vague)
        self._vague_words = {lemma.lower() for lemmas in vague for lemma in lemmas}
        self._dog = wordnet.find(DOG).offset

    def names(self, synset_id: str) -> frozenset[str]:
        """The names of a class and of what it is a kind of, up to `LEVELS` above, none vague.

        Of a phrase, its last word alone is a name too where its first sense is in the same of
        WordNet's categories: a hermit crab is a crab, but a hot dog is no dog.

        Returns:
            In lower case and without the marks between words, so that "fire truck" is "firetruck".

        Raises:
            ValueError: no noun has that id.
        """
        levels = self._wordnet.levels(self._wordnet.find(synset_id))
        near = (synset for level in islice(levels, LEVELS + 1) for synset in level)
        plain = [synset for synset in near if synset.offset not in self._vague]
        lemmas = {lemma.lower() for synset in plain for lemma in synset.lemmas}
        heads = {head for synset in plain for head in self._heads(synset)}
        return frozenset(_squash(name) for name in lemmas | (heads - self._vague_words))

    def _heads(self, synset: Synset) -> Iterator[str]:
        for lemma in synset.lemmas:
            head = lemma.lower().rpartition("_")[2]
            if any(s.category == synset.category for s in self._wordnet.senses(head)[:1]):
                yield head

    def is_dog(self, synset_id: str) -> bool:
        """Whether a class is the dog or a kind of it. Raises: as `names`."""
        return self._dog in self._wordnet.kinds_of(self._wordnet.find(synset_id))

    def says_its_name(self, caption: str, synset_id: str) -> bool:
        """Whether a caption has a name of a class, in the singular or plural. Raises: as `names`.

        Words are compared, not senses: "a crane" names the bird and the machine.
        """
        forms = {_squash(form) for form in phrases(_words(caption), self._wordnet)}
        return not forms.isdisjoint(self.names(synset_id))

    def says_dog(self, caption: str) -> bool:
        """Whether a caption has a word whose first sense is a dog, or one of `DOG_NAMES`.

        The longest phrase counts: a "hot dog" is no dog.
        """
        return any(
            lemma in DOG_NAMES or self._means_dog(lemma)
            for part in split_phrases(_words(caption), self._wordnet)
            for lemma in self._wordnet.lemmas(part) or [part]
        )

    def _means_dog(self, lemma: str) -> bool:
        senses = self._wordnet.senses(lemma)[:1]
        return any(self._dog in self._wordnet.kinds_of(sense) for sense in senses)


def _words(caption: str) -> list[str]:
    return tokenize(caption, keep_punctuation=False)


def _squash(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


def named_scores(
    photos: Sequence[NamedPhoto],
    captions: Mapping[str, str],
    wordnet: WordNet,
    samples: int,
    seed: int,
) -> dict[str, Any]:
    """How often captions name the thing that a photo shows, and see a dog where there is none.

    Args:
        captions: by photo name.
        samples, seed: of the intervals over photos, see `bootstrap.measure`.

    Returns:
        Numbers of `photos` and of `beyond_dogs`, those whose class is no kind of dog; and the
        measurements `named`, of all photos, `named_beyond_dogs`, and `false_dogs`, the share of the
        photos beyond dogs whose caption says dog.

    Raises:
        ValueError: a synset is unknown.
    """
    namer = Namer(wordnet)
    named = [namer.says_its_name(captions[name], synset) for name, synset in photos]
    beyond = [not namer.is_dog(synset) for _, synset in photos]
    dogs = [namer.says_dog(captions[name]) for name, _ in photos]
    shares = {
        "named": ratio(named, [True] * len(photos)),
        "named_beyond_dogs": ratio([a and b for a, b in zip(named, beyond, strict=True)], beyond),
        "false_dogs": ratio([a and b for a, b in zip(dogs, beyond, strict=True)], beyond),
    }
    return {
        "photos": len(photos),
        "beyond_dogs": sum(beyond),
        **{name: measure(tally, samples, seed) for name, tally in shares.items()},
    }
