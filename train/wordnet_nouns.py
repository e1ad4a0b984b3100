"""Nouns and noun phrases in captions, and which of WordNet's are too vague to name anything.

Knows captions; knows nothing of photos.
"""

from collections.abc import Iterator, Sequence

from train.wordnet import WordNet

MAX_PHRASE = 4
"""Words of the longest names looked for in a caption."""

LOOSE_WORDS = frozenset(
    {
        *("black", "blue", "brown", "gray", "green", "grey", "orange", "pink", "red", "white"),
        *("yellow", "big", "dirty", "fat", "great", "large", "little", "old", "small", "young"),
        *("cup", "piece"),
    }
)
"""Words that begin no phrase in captions: WordNet has "small white" as a butterfly, "little dog" as
a constellation and "piece of cake" as an act.
"""

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


def vague_offsets(wordnet: WordNet) -> frozenset[int]:
    """The synsets of `VAGUE_IDS` and all above them; those that a WordNet lacks are left out."""
    known = [wordnet.find(vague) for vague in VAGUE_IDS if wordnet.has(vague)]
    return frozenset().union(*(wordnet.kinds_of(synset) for synset in known))


def phrases(words: Sequence[str], wordnet: WordNet) -> Iterator[str]:
    """Every run of up to `MAX_PHRASE` words of a caption, with underscores between them.

    Yields:
        Each as it is written, and with its last word in every singular that it may have: those of
        WordNet, and, since it lacks many compounds ("firetrucks"), the word without its s.
    """
    for end in range(1, len(words) + 1):
        last = words[end - 1]
        lasts = dict.fromkeys([last, last.removesuffix("s"), *wordnet.lemmas(last)])
        for start in range(max(end - MAX_PHRASE, 0), end):
            for form in lasts:
                yield "_".join([*words[start : end - 1], form])


def split_phrases(words: Sequence[str], wordnet: WordNet) -> Iterator[str]:
    """A caption's words from left to right, with those together that WordNet has as a phrase.

    Yields:
        The longest phrase of up to `MAX_PHRASE` words at each place, with underscores.
    """
    start = 0
    while start < len(words):
        ends = range(min(start + MAX_PHRASE, len(words)), start, -1)
        runs = (words[start:end] for end in ends)
        run = next(run for run in runs if len(run) == 1 or _is_phrase(run, wordnet))
        yield "_".join(run)
        start += len(run)


def _is_phrase(words: Sequence[str], wordnet: WordNet) -> bool:
    return words[0] not in LOOSE_WORDS and bool(wordnet.lemmas("_".join(words)))
