"""The options of decoding. Knows nothing of searches or models, and needs no torch."""

from dataclasses import dataclass
from typing import Any, ClassVar

from captioner.errors import CodedError


class DecodingError(CodedError):
    """An option, a prefix or a word that decoding cannot use."""

    MESSAGES: ClassVar[dict[str, str]] = {
        "not_an_integer": "{field} must be a whole number, got {got}",
        "out_of_range": "{field} must be from {low:g} to {high:g}, got {got}",
        "top_p_out_of_range": "top_p must be above 0 and at most 1, got {got}",
        "temperature_needed": "top_k and top_p are for sampling: set temperature above 0",
        "prefix_not_text": "prefix must be text, got {got}",
        "banned_words_not_a_list": "banned_words must be a list of words, got {got}",
        "unknown_option": "no such decoding option: {names}; there are {known}",
        "unknown_prefix": "prefix holds a word that the model does not know: {words}; "
        "use score_caption for words that the model does not know",
        "prefix_too_long": "prefix must have at most max_length = {limit} words, got {got}",
        "number_of_words": "a caption must have from {low} to {high} words, got {got}",
        "position": "position must be from 0 to {high}, the caption's length, got {got}",
        "position_beyond_limit": "position must be below max_length = {limit}, got {got}",
        "unknown_word": "word must be one that the model knows, got {word!r}",
        "no_search_tree": "sampling keeps no beam: a search tree needs temperature 0",
        "no_training_photos": "the checkpoint keeps no training photos, whose mean region would "
        "stand for no photo",
        "unknown_word_before": "the model does not know {word!r}: branch before that word",
    }


@dataclass(frozen=True)
class DecodingOptions:
    """How to find captions. Chosen per call, never stored in a model.

    Raises:
        DecodingError: a ValueError: an option is out of range.
    """

    beam_size: int = 3
    """Hypotheses kept at each word; 1 is greedy search."""
    num_captions: int = 1
    """Different captions wanted for a photo. A beam is never smaller than this."""
    diversity: float = 0.0
    """Penalty, in nats, on a word that an earlier caption has at the same place; 0 gives the best
    captions of one beam, more gives each caption a beam of its own."""
    temperature: float = 0.0
    """Above 0, words are sampled in place of a beam search: 1 from the model's distribution, below
    1 from a sharper one, above 1 from a flatter one."""
    top_k: int = 0
    """Sample only from this many of the most probable words; 0 from all."""
    top_p: float = 1.0
    """Sample only from the smallest set of words whose probabilities sum to at least this."""
    seed: int = 0
    """Of the sampling: the same seed gives the same captions."""
    max_length: int = 30
    """Maximum number of words in a caption."""
    min_length: int = 1
    """Minimum number of words in a caption."""
    length_penalty: float = 0.7
    """Power of the length by which log-probabilities are divided; 0 prefers short captions."""
    no_repeat_ngram: int = 3
    """No n-gram of this many words occurs twice in a caption; 0 allows all."""
    banned_words: tuple[str, ...] = ()
    """Words that captions never contain. They may still be among a word's alternatives."""
    prefix: str = ""
    """Words that the caption begins with."""

    def __post_init__(self) -> None:
        for name, low, high in (
            ("beam_size", 1, 100),
            ("num_captions", 1, 100),
            ("diversity", 0.0, 100),
            ("temperature", 0.0, 100),
            ("top_k", 0, 1_000_000),
            ("seed", 0, 2**63 - 1),
            ("max_length", 1, 200),
            ("min_length", 0, self.max_length),
            ("length_penalty", 0.0, 10),
            ("no_repeat_ngram", 0, 200),
        ):
            _check_range(name, getattr(self, name), low, high)
        if not 0 < self.top_p <= 1:
            raise DecodingError("top_p_out_of_range", {"got": self.top_p})
        if not self.temperature and (self.top_k or self.top_p < 1):
            raise DecodingError("temperature_needed")
        if not isinstance(self.prefix, str):
            raise DecodingError("prefix_not_text", {"got": repr(self.prefix)})
        if isinstance(self.banned_words, str):
            raise DecodingError("banned_words_not_a_list", {"got": repr(self.banned_words)})
        object.__setattr__(self, "banned_words", tuple(self.banned_words))


def _check_range(name: str, value: Any, low: float, high: float) -> None:
    if not isinstance(value, int) and not isinstance(low, float):
        raise DecodingError("not_an_integer", {"field": name, "got": repr(value)})
    if not low <= value <= high:
        values = {"field": name, "low": low, "high": high, "got": value}
        raise DecodingError("out_of_range", values)
