"""Whether captions name the thing that a photo is known to show, and whether they see dogs.

Knows class labels and captions; knows nothing of references or of models.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from captioner.vocabulary import tokenize
from train.bootstrap import measure, ratio
from train.wordnet import Synset, WordNet

LEVELS = 5
"""A class may be named by what stands up to so many hypernyms above it."""
MAX_PHRASE = 4
"""Words of the longest names looked for in a caption."""

DOG = "n02084071"
DOG_NAMES = frozenset({"doggy", "doggie", "pup", "pooch", "mutt"})
"""What captions call a dog, besides names of kinds of dog."""

COLUMNS = ("photo", "class", "synset", "label")

VAGUE_IDS = {
    "n00015388": "animal",
    "n01861778": "mammal",
    "n01886756": "placental",
    "n01905661": "invertebrate",
    "n01317541": "domestic animal",
    "n13087625": "plant organ",
    "n11675842": "reproductive structure",
    "n03294048": "equipment",
    "n03430959": "gear",
    "n03183080": "device",
    "n03738472": "mechanism",
    "n03574816": "instrument, of any kind; a musical one has a synset of its own",
    "n04081844": "restraint",
    "n04359589": "support",
    "n02755352": "attachment",
    "n03094503": "container",
    "n03563967": "implement",
    "n04516672": "utensil",
    "n03100490": "conveyance",
    "n03405265": "furnishing",
    "n04014297": "protective covering",
    "n04341686": "structure",
    "n04550840": "ware",
    "n03892891": "part",
    "n03257877": "durables",
    "n00021265": "food, as nutrient",
    "n15046900": "solid",
    "n06791372": "signal",
    "n09366317": "natural elevation",
}
"""Synsets too vague to name anything, with everything above them up to "entity".

Not vague, by choice: bird, fish, insect, reptile, person, vehicle, craft, furniture, clothing,
garment, tool, weapon, toy, building, solid food, fruit, vegetable.
"""


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
        self._dog = wordnet.find(DOG).offset

    def names(self, synset_id: str) -> frozenset[str]:
        """The names of a class and of what it is a kind of, up to `LEVELS` above, none vague.

        Returns:
            In lower case and without the marks between words, so that "fire truck" is "firetruck".

        Raises:
            ValueError: no noun has that id.
        """
        levels = self._wordnet.levels(self._wordnet.find(synset_id))
        near = [
            synset for _, level in zip(range(LEVELS + 1), levels, strict=False) for synset in level
        ]
        return frozenset(_squash(lemma) for synset in near for lemma in self._plain(synset))

    def _plain(self, synset: Synset) -> tuple[str, ...]:
        return () if synset.offset in self._vague else synset.lemmas

    def is_dog(self, synset_id: str) -> bool:
        """Whether a class is the dog or a kind of it. Raises: as `names`."""
        return self._dog in self._wordnet.kinds_of(self._wordnet.find(synset_id))

    def says_its_name(self, caption: str, synset_id: str) -> bool:
        """Whether a caption has a name of a class, in the singular or plural. Raises: as `names`.

        Words are compared, not senses: "a crane" names the bird and the machine.
        """
        forms = {_squash(form) for form in phrases(caption, self._wordnet)}
        return not forms.isdisjoint(self.names(synset_id))

    def says_dog(self, caption: str) -> bool:
        """Whether a caption has a word whose most frequent sense is a dog, or is `DOG_NAMES`."""
        return any(
            form in DOG_NAMES or self._means_dog(form) for form in phrases(caption, self._wordnet)
        )

    def _means_dog(self, lemma: str) -> bool:
        senses = self._wordnet.senses(lemma)[:1]
        return any(self._dog in self._wordnet.kinds_of(sense) for sense in senses)


def vague_offsets(wordnet: WordNet) -> frozenset[int]:
    """The synsets of `VAGUE_IDS` and all above them; those that a WordNet lacks are left out."""
    known = [wordnet.find(vague) for vague in VAGUE_IDS if wordnet.has(vague)]
    return frozenset().union(*(wordnet.kinds_of(synset) for synset in known))


def phrases(caption: str, wordnet: WordNet) -> Iterator[str]:
    """Every run of up to `MAX_PHRASE` words of a caption, with underscores between them.

    Yields:
        Each as it is written, and with its last word in every singular that it may have: those of
        WordNet, and, since it lacks many compounds ("firetrucks"), the word without its s.
    """
    words = tokenize(caption, keep_punctuation=False)
    for end in range(1, len(words) + 1):
        last = words[end - 1]
        lasts = dict.fromkeys([last, last.removesuffix("s"), *wordnet.lemmas(last)])
        for start in range(max(end - MAX_PHRASE, 0), end):
            for form in lasts:
                yield "_".join([*words[start : end - 1], form])


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
