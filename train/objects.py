"""Objects that captions invent: words for things that no reference of the photo has.

As CHAIR (Rohrbach et al. 2018, arXiv:1809.02156, sec. 2.1) with WordNet in place of COCO's 80
objects. Knows captions and references; knows nothing of models.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from captioner.vocabulary import tokenize
from train.bootstrap import Array, measure, ratio
from train.wordnet import WordNet
from train.wordnet_nouns import split_phrases, vague_offsets

ANIMAL, ARTIFACT, COMMUNICATION, FOOD, PERSON, PLANT = "05", "06", "10", "13", "18", "20"
"""Lexicographer files, see lexnames(5WN)."""
THINGS = frozenset({ANIMAL, ARTIFACT, FOOD, PERSON, PLANT})
NOTHING = ""

USUAL_CATEGORIES = {
    word: category
    for category, words in {
        ANIMAL: "bear bunny cattle duck husky lion panda tiger",
        ARTIFACT: "bat bikini board book controller dress glass hanger hood jersey kite mouse net "
        "pacifier pant puck racket screen seat sidecar sink stroller table television tie toaster "
        "trailer train tutu tv tray van vest",
        COMMUNICATION: "sign street_sign stop_sign traffic_light traffic_signal",
        FOOD: "banana broccoli burger carrot corn doughnut hamburger hotdog hot_dog lettuce onion "
        "peach pumpkin",
        PERSON: "audience batter climber commuter crowd family female groom male people person "
        "santa someone team",
        PLANT: "branch plant",
        NOTHING: "angel art asian backdrop balance bark bath block bow brick bungee camera cell "
        "character chased chess closeup coaster collage conveyor cricket decker "
        "decoration deere denim diner dive domino dragon dummy eats fabric facing fed "
        "fencing food fruit german giant grass grocery hanging hay heel helping hind "
        "homeless horseback image indian jumper lab landing laundry leaf lining loading "
        "mexican miami mickey mini miniature mohawk monster motor muslim nature office "
        "orange photo photograph picture piece plaid polo product quad restaurant scuba "
        "serving shower snowball sticker stopping stripe system topping transit trunk "
        "vintage wheeler working",
    }.items()
    for word in words.split()
}
"""What words mean in captions, where that is not the category of their first sense in WordNet.

Found by going through the nouns that people use most in captions of Flickr8k's and COCO's train
photos. `NOTHING` are words of no object of their own ("a picture of"), and ambiguous ones.
"""

PEOPLE = frozenset({"band", "class", "couple", "group", "he", "her", "him", "his", "she"})
"""Words by which a reference, besides words for persons, says that there are people."""

PLACE_IDS = {
    "n04564698": "way, such as a street",
    "n02735688": "area, such as a room",
    "n03297735": "establishment, such as a shop",
    "n03315023": "facility, such as a station",
    "n04362025": "surface, such as a floor",
    "n03302121": "excavation, such as a pool",
    "n05220461": "body part",
    "n13086908": "plant part",
}
"""Synsets of places and parts: no kind of these is an object, unless it is food."""


class Thing(NamedTuple):
    """A word or phrase that stands for an object."""

    text: str
    lemmas: frozenset[str]
    category: str
    synsets: frozenset[int]
    """Of its senses in the category in which captions use it."""
    kinds: frozenset[int]
    """These and all they are kinds of, none vague."""


class Mentions(NamedTuple):
    """What the references of a photo mention."""

    lemmas: frozenset[str]
    person: bool
    synsets: frozenset[int]
    kinds: frozenset[int]

    def cover(self, thing: Thing) -> bool:
        """Whether a reference has the word, a synonym, a kind of it or what it is a kind of.

        Words for persons cover each other: who is "a man" to one is "a skateboarder" to another.
        """
        return (
            not self.lemmas.isdisjoint(thing.lemmas)
            or (thing.category == PERSON and self.person)
            or not self.kinds.isdisjoint(thing.synsets)
            or not self.synsets.isdisjoint(thing.kinds)
        )


class ObjectFinder:
    """Finds the objects in captions; remembers words, which captions repeat."""

    def __init__(self, wordnet: WordNet) -> None:
        """Take the WordNet that says what is an object."""
        self._wordnet = wordnet
        self._vague = vague_offsets(wordnet)
        self._places = {wordnet.find(place).offset for place in PLACE_IDS if wordnet.has(place)}
        self._thing = lru_cache(maxsize=None)(self._find_thing)
        self._senses = lru_cache(maxsize=None)(self._find_senses)

    def objects(self, caption: str) -> list[Thing]:
        """The objects of a caption, each word once.

        An object word is a noun, more often than another part of speech, whose first sense is an
        animal, an artifact, food, a person or a plant, but no place, no part of a body and nothing
        vague; see also `USUAL_CATEGORIES`. The longest phrase counts: a "fire hydrant" is no fire.
        """
        words = tokenize(caption, keep_punctuation=False)
        found = {part: self._thing(part) for part in split_phrases(words, self._wordnet)}
        return [thing for thing in found.values() if thing is not None]

    def _find_thing(self, form: str) -> Thing | None:
        lemmas = self._wordnet.lemmas(form)
        for lemma in lemmas:
            if (category := self._category(lemma)) != NOTHING:
                offsets = [s.offset for s in self._wordnet.senses(lemma) if s.category == category]
                kinds = self._kinds(offsets)
                return Thing(form, frozenset(lemmas), category, frozenset(offsets), kinds)
        return None

    def _category(self, lemma: str) -> str:
        """The category in which captions use a lemma as an object; else `NOTHING`."""
        if lemma in USUAL_CATEGORIES:
            return USUAL_CATEGORIES[lemma]
        first = self._wordnet.senses(lemma)[0]
        if first.category not in THINGS or not self._wordnet.is_mostly_noun(lemma):
            return NOTHING
        if first.offset in self._vague or (
            first.category != FOOD and not self._wordnet.kinds_of(first).isdisjoint(self._places)
        ):
            return NOTHING
        return first.category

    def _kinds(self, offsets: Iterable[int]) -> frozenset[int]:
        synsets = (self._wordnet.synset(offset) for offset in offsets)
        return frozenset().union(*map(self._wordnet.kinds_of, synsets)) - self._vague

    def mentions(self, references: Iterable[str]) -> Mentions:
        """What references mention: of each word and phrase, every sense of a thing.

        So do the words of a phrase, unless the last one is another thing by itself: a "dog show"
        has dogs, a "hot dog" none. Persons are mentioned by words that captions use so, not by each
        sense: a dog is no villain.
        """
        lemmas: set[str] = set()
        offsets: set[int] = set()
        person = False
        for reference in references:
            words = tokenize(reference, keep_punctuation=False)
            parts = split_phrases(words, self._wordnet)
            for form in {form for part in parts for form in self._forms(part)}:
                thing = self._thing(form)
                person |= form in PEOPLE or (thing is not None and thing.category == PERSON)
                lemmas |= {form, *self._wordnet.lemmas(form)}
                offsets |= self._senses(form)
        return Mentions(frozenset(lemmas), person, frozenset(offsets), self._kinds(offsets))

    def _forms(self, part: str) -> list[str]:
        """A word or phrase, and the words of the phrase that may be meant too."""
        *words, last = part.split("_")
        thing, head = self._thing(part), self._thing(last)
        is_another = thing is not None and head is not None and thing.category != head.category
        return [part, *words] if is_another else [part, *words, last]

    def _find_senses(self, form: str) -> frozenset[int]:
        """The senses of a word that are things, but no persons; and that in which it is used."""
        senses = [s for lemma in self._wordnet.lemmas(form) for s in self._wordnet.senses(lemma)]
        things = frozenset(s.offset for s in senses if s.category in THINGS - {PERSON})
        thing = self._thing(form)
        return things if thing is None else things | thing.synsets


def invented_counts(
    finder: ObjectFinder, mentions: Mapping[str, Mentions], captions: Mapping[str, str]
) -> Array:
    """Count the objects of each photo's caption, and those that no reference mentions.

    Args:
        mentions: of each photo's references, see `ObjectFinder.mentions`, by photo name.
        captions: of the same photos.

    Returns:
        float64 (photos, 2), in the order of `captions`.
    """
    rows: list[tuple[int, int]] = []
    for name, caption in captions.items():
        things = finder.objects(caption)
        invented = [thing for thing in things if not mentions[name].cover(thing)]
        rows.append((len(things), len(invented)))
    return np.array(rows, dtype=np.float64)


def invented_scores(counts: Array, samples: int, seed: int) -> dict[str, Any]:
    """How often captions name objects that no reference mentions.

    Args:
        counts: see `invented_counts`.
        samples, seed: of the intervals over photos, see `bootstrap.measure`.

    Returns:
        The number of `objects`, and the measurements `per_caption`, how many are invented in one;
        `captions`, the share with one or more (CHAIR_s); and `objects_share`, the share of objects
        that are invented (CHAIR_i).
    """
    objects, invented = counts.T
    ones = np.ones(len(counts))
    tallies = {
        "per_caption": ratio(invented, ones),
        "captions": ratio(invented > 0, ones),
        "objects_share": ratio(invented, objects),
    }
    return {
        "objects": int(objects.sum()),
        **{name: measure(tally, samples, seed) for name, tally in tallies.items()},
    }
