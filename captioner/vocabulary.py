"""Text to words to token ids, and back. Knows nothing of images or networks."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from nltk import word_tokenize
from nltk.tokenize.treebank import TreebankWordDetokenizer

from captioner.checks import short

PAD, START, END, UNK = "<pad>", "<sos>", "<eos>", "<unk>"
SPECIALS = (PAD, START, END, UNK)
PAD_ID, START_ID, END_ID, UNK_ID = range(len(SPECIALS))

MAX_WORDS, MAX_CHARACTERS = 100_000, 100
"""Of a vocabulary, and of a word in it."""
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
    words = word_tokenize(text.lower(), preserve_line=True)
    if keep_punctuation:
        return words
    return [word for word in words if any(character.isalnum() for character in word)]


def detokenize(words: Sequence[str]) -> str:
    """Join words into a caption a person reads."""
    return TreebankWordDetokenizer().detokenize(list(words))


def is_word(text: str) -> bool:
    """Whether a vocabulary may hold this: of reasonable length, and safe to display."""
    return (
        len(text) <= MAX_CHARACTERS
        and text.split() == [text]
        and not any(
            unicodedata.category(character) in UNPRINTABLE
            or unicodedata.bidirectional(character) in REORDERING
            for character in text
        )
    )


class Vocabulary:
    """The words a model knows, with ids 0 to 3 for `<pad>`, `<sos>`, `<eos>`, `<unk>`."""

    def __init__(self, words: Sequence[str], keep_punctuation: bool = True) -> None:
        """Number the words, in the order given, after the special tokens.

        Args:
            words: distinct words, at least one, without the special tokens.
            keep_punctuation: how text is tokenized before it is encoded.

        Raises:
            ValueError: there are none or too many, or one is not a word (see `is_word`), occurs
                twice, or is a special token.
        """
        if not 1 <= len(words) <= MAX_WORDS:
            raise ValueError(
                f"the vocabulary must have from 1 to {MAX_WORDS} words, got {len(words)}"
            )
        for word in words:
            if not is_word(word):
                raise ValueError(
                    f"the vocabulary's words must have from 1 to {MAX_CHARACTERS} characters, "
                    f"without white space or control characters, got {short(word)}"
                )
        self.words = (*SPECIALS, *words)
        self.keep_punctuation = keep_punctuation
        self._ids = {word: index for index, word in enumerate(self.words)}
        if len(self._ids) != len(self.words):
            twice = next(word for word, count in Counter(self.words).items() if count > 1)
            raise ValueError(f"the vocabulary holds the word {twice!r} twice")

    @classmethod
    def build(
        cls, captions: Iterable[str], min_frequency: int = 2, keep_punctuation: bool = True
    ) -> "Vocabulary":
        """Collect the words seen at least `min_frequency` times, most frequent first.

        Tokens that are not words (see `is_word`) are left out.

        Args:
            captions: caption texts, of the train split only.

        Raises:
            ValueError: min_frequency is under 1.
        """
        if min_frequency < 1:
            raise ValueError(f"min_frequency must be at least 1, got {min_frequency}")
        counts = Counter(word for text in captions for word in tokenize(text, keep_punctuation))
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

    def tokenize(self, text: str) -> list[str]:
        """Split text into lower-case words as this vocabulary has them, known or not."""
        return tokenize(text, self.keep_punctuation)

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
        return {
            "words": list(self.words[len(SPECIALS) :]),
            "keep_punctuation": self.keep_punctuation,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Vocabulary":
        """Read what `to_json` gave.

        Raises:
            ValueError: the data is not a vocabulary's.
        """
        words, keep = data.get("words"), data.get("keep_punctuation")
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise ValueError("a vocabulary needs 'words', a list of strings")
        if not isinstance(keep, bool):
            raise ValueError("a vocabulary needs 'keep_punctuation', true or false")
        return cls(words, keep)
