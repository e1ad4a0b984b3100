"""Misspelled words of captions, and what they were meant to be.

Knows words and how often they occur; knows nothing of photos or models.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from spellchecker import SpellChecker

from captioner.vocabulary import Vocabulary, tokenize

SHORTEST = 4
"""Letters of a word that may be corrected: those with fewer have too many neighbours."""


def find_misspellings(captions: Iterable[str], vocabulary: Vocabulary) -> dict[str, str]:
    """Find words that are one edit away from a word that people use and a dictionary has.

    Themselves they are neither in the vocabulary nor in the dictionary. The vocabulary is the same
    if the captions that it was built from are corrected: it holds no word that is replaced, and
    every word that takes its place.

    Args:
        captions: of the train split.

    Returns:
        By misspelled word, the most frequent word of the vocabulary and the dictionary that is
        one edit away; of equally frequent ones the last by alphabet.
    """
    counts = Counter(word for text in captions for word in tokenize(text, keep_punctuation=False))
    dictionary = SpellChecker()
    common = {word for word in counts if word in vocabulary and word in dictionary}
    found: dict[str, str] = {}
    for word in counts:
        if word in vocabulary or not word.isalpha() or len(word) < SHORTEST or word in dictionary:
            continue
        meant = [(counts[other], other) for other in dictionary.edit_distance_1(word) & common]
        if meant:
            found[word] = max(meant)[1]
    return found


def correct(text: str, misspellings: Mapping[str, str]) -> str:
    """Replace misspelled words of a text, in any case; its other words stay as they are."""

    def spell(match: re.Match[str]) -> str:
        return misspellings.get(match[0].lower(), match[0])

    return re.sub(r"(?<![\w-])[^\W\d_]+(?![\w-])", spell, text)
