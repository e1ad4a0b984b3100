"""Text to words to token ids, and back. Knows nothing of images or networks.

NLTK is imported on first use: captions can be read and sent without it.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from captioner.checks import short

if TYPE_CHECKING:
    from nltk import MWETokenizer

PAD, START, END, UNK = "<pad>", "<sos>", "<eos>", "<unk>"
SPECIALS = (PAD, START, END, UNK)
PAD_ID, START_ID, END_ID, UNK_ID = range(len(SPECIALS))

MAX_WORDS, MAX_CHARACTERS, MAX_PARTS, MAX_CLASSES = 100_000, 100, 4, 100_000
"""Words of a vocabulary; characters and space-separated parts of a word; classes with nouns."""
ARTICLES = ("a", "an", "some")
UNPRINTABLE = {"Cc", "Cs"}
"""Unicode's categories of control characters, and of lone surrogates, which cannot be printed."""
REORDERING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
"""Unicode's directional classes of marks that reorder the text around them."""


def tokenize(text: str, keep_punctuation: bool = True) -> list[str]:
    """Split a caption into lower-case words.

    Args:
        text: one caption.
        keep_punctuation: keep tokens that hold no letter and no digit, such as "." or "''".
    """
    from nltk import word_tokenize

    words = word_tokenize(text.lower(), preserve_line=True)
    if keep_punctuation:
        return words
    return [word for word in words if any(character.isalnum() for character in word)]


def detokenize(words: Sequence[str]) -> str:
    """Join words into a caption a person reads."""
    from nltk.tokenize.treebank import TreebankWordDetokenizer

    return TreebankWordDetokenizer().detokenize(list(words))


def is_word(text: str) -> bool:
    """Whether a vocabulary may hold this: of reasonable length, and safe to display.

    Single spaces may separate parts of it: "coffee pot" is one word of a vocabulary.
    """
    return (
        0 < len(text) <= MAX_CHARACTERS
        and text.split(" ") == text.split()
        and text.count(" ") < MAX_PARTS
        and not any(
            unicodedata.category(character) in UNPRINTABLE
            or unicodedata.bidirectional(character) in REORDERING
            for character in text
        )
    )


class Noun(NamedTuple):
    """What a class of the encoder is called in captions."""

    singular: str
    plural: str
    article: str
    """Of the singular: one of ARTICLES."""


class Vocabulary:
    """The words a model knows, with ids 0 to 3 for `<pad>`, `<sos>`, `<eos>`, `<unk>`."""

    def __init__(
        self,
        words: Sequence[str],
        keep_punctuation: bool = True,
        class_nouns: Sequence[Sequence[str]] = (),
    ) -> None:
        """Number the words, in the order given, after the special tokens.

        Args:
            words: distinct words, at least one, without the special tokens.
            keep_punctuation: how text is tokenized before it is encoded.
            class_nouns: for each class that the encoder recognizes, in order, the singular and the
                plural of the noun that names it, which are words of this vocabulary, and its
                article.

        Raises:
            ValueError: there are none or too many, or one is not a word (see `is_word`), occurs
                twice, or is a special token; or a class has no such noun.
        """
        if not 1 <= len(words) <= MAX_WORDS:
            raise ValueError(
                f"the vocabulary must have from 1 to {MAX_WORDS} words, got {len(words)}"
            )
        if len(class_nouns) > MAX_CLASSES:
            raise ValueError(
                f"the vocabulary must have nouns for at most {MAX_CLASSES} classes, "
                f"got {len(class_nouns)}"
            )
        for word in words:
            if not is_word(word):
                raise ValueError(
                    f"the vocabulary's words must have from 1 to {MAX_CHARACTERS} characters, "
                    f"in at most {MAX_PARTS} parts with single spaces between them, and no control "
                    f"characters, got {short(word)}"
                )
        self.words = (*SPECIALS, *words)
        self.keep_punctuation = keep_punctuation
        known = set(words)
        self.class_nouns = tuple(_noun(nouns, known) for nouns in class_nouns)
        self._articles = {noun.singular: noun.article for noun in self.class_nouns}
        self._ids = {word: index for index, word in enumerate(self.words)}
        self._join_phrases = _phrase_tokenizer(words).tokenize
        if len(self._ids) != len(self.words):
            twice = next(word for word, count in Counter(self.words).items() if count > 1)
            raise ValueError(f"the vocabulary holds the word {twice!r} twice")

    @classmethod
    def build(
        cls,
        captions: Iterable[str],
        min_frequency: int = 2,
        keep_punctuation: bool = True,
        phrases: Sequence[str] = (),
    ) -> Vocabulary:
        """Collect the words seen at least `min_frequency` times, most frequent first.

        Tokens that are not words (see `is_word`) are left out.

        Args:
            captions: caption texts, of the train split only.
            phrases: what counts as one word, such as "coffee pot", where it is frequent enough.

        Raises:
            ValueError: min_frequency is under 1.
        """
        if min_frequency < 1:
            raise ValueError(f"min_frequency must be at least 1, got {min_frequency}")
        texts = [tokenize(text, keep_punctuation) for text in captions]
        counts = _count_phrases(texts, phrases)
        counts = _count_phrases(texts, [p for p in phrases if counts[p] >= min_frequency])
        kept = [word for word, n in counts.items() if n >= min_frequency and is_word(word)]
        kept.sort(key=lambda word: (-counts[word], word))
        return cls(kept, keep_punctuation)

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: str) -> bool:
        return word in self._ids

    def id_of(self, word: str) -> int:
        """The word's id; that of `<unk>`, if it is unknown."""
        return self._ids.get(word, UNK_ID)

    def article_of(self, noun: str) -> str | None:
        """The article of a noun that names a class, None of other words."""
        return self._articles.get(noun)

    def tokenize(self, text: str) -> list[str]:
        """Split text into lower-case words as this vocabulary has them, known or not."""
        return self._join_phrases(tokenize(text, self.keep_punctuation))

    def encode(self, text: str) -> list[int]:
        """Token ids of a caption, from `<sos>` to `<eos>`; unknown words become `<unk>`."""
        return [START_ID, *map(self.id_of, self.tokenize(text)), END_ID]

    def decode(self, token_ids: Iterable[int]) -> list[str]:
        """The words of token ids up to `<eos>`, without `<pad>`, `<sos>` and `<eos>`."""
        words: list[str] = []
        for token_id in token_ids:
            if token_id == END_ID:
                break
            if token_id not in (PAD_ID, START_ID):
                words.append(self.words[token_id])
        return words

    def to_json(self) -> dict[str, Any]:
        """Plain data for a checkpoint; `from_json` reads it back."""
        data: dict[str, Any] = {
            "words": list(self.words[len(SPECIALS) :]),
            "keep_punctuation": self.keep_punctuation,
        }
        if self.class_nouns:
            data["class_nouns"] = [list(nouns) for nouns in self.class_nouns]
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Vocabulary:
        """Read what `to_json` gave.

        Raises:
            ValueError: the data is not a vocabulary's.
        """
        words, keep = data.get("words"), data.get("keep_punctuation")
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise ValueError("a vocabulary needs 'words', a list of strings")
        if not isinstance(keep, bool):
            raise ValueError("a vocabulary needs 'keep_punctuation', true or false")
        nouns = data.get("class_nouns", [])
        if not isinstance(nouns, list) or not all(isinstance(pair, list) for pair in nouns):
            raise ValueError("'class_nouns' of a vocabulary must be a list of lists of words")
        return cls(words, keep, nouns)


def _phrase_tokenizer(words: Iterable[str]) -> MWETokenizer:
    """Joins the words of phrases, of which there may be none."""
    from nltk import MWETokenizer

    return MWETokenizer([word.split(" ") for word in words if " " in word], separator=" ")


def _count_phrases(texts: Iterable[Sequence[str]], phrases: Iterable[str]) -> Counter[str]:
    join = _phrase_tokenizer(phrases).tokenize
    return Counter(word for words in texts for word in join(words))


def _noun(given: Sequence[str], words: set[str]) -> Noun:
    forms, article = given[:2], given[2:]
    if not all(isinstance(word, str) for word in given) or len(given) != 3:
        raise ValueError(f"a class needs singular, plural and article, got {short(given)}")
    if not words.issuperset(forms) or article[0] not in ARTICLES:
        raise ValueError(
            f"a class must have two words of the vocabulary and one of the articles "
            f"{', '.join(ARTICLES)}, got {short(given)}"
        )
    return Noun(*given)
