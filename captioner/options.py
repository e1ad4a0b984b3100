"""How to find captions: the options of decoding. Knows of no search and no model."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DecodingOptions:
    """How to find captions. Chosen per call, never stored in a model."""

    beam_size: int = 3
    """Hypotheses kept at each word; 1 is greedy search."""
    num_captions: int = 1
    """Different captions wanted of a photo. A beam is never smaller than this."""
    diversity: float = 0.0
    """How much less likely, in nats, an earlier caption makes a word at the same place; 0 gives
    the best captions of one beam, more gives each caption a beam of its own."""
    temperature: float = 0.0
    """Above 0, words are drawn by chance in place of a beam search: 1 as likely as the model
    thinks, below 1 more of what is likely, above 1 more of what is not."""
    top_k: int = 0
    """Draw only from so many of the likeliest words; 0 from all."""
    top_p: float = 1.0
    """Draw only from the fewest likeliest words that together are so probable."""
    seed: int = 0
    """Of what is drawn: the same seed draws the same captions."""
    max_length: int = 30
    """Most words in a caption."""
    min_length: int = 1
    """Fewest words in a caption."""
    length_penalty: float = 0.7
    """Power of the length by which log-probabilities are divided; 0 prefers short captions."""
    no_repeat_ngram: int = 3
    """No run of this many words may stand twice in a caption; 0 allows all."""
    banned_words: tuple[str, ...] = ()
    """Words never to say. They may still be among a word's alternatives."""
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
            value = getattr(self, name)
            if not isinstance(value, int) and not isinstance(low, float):
                raise ValueError(f"{name} must be a whole number, got {value!r}")
            if not low <= value <= high:
                raise ValueError(f"{name} must be from {low:g} to {high:g}, got {value}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, got {self.top_p}")
        if not self.temperature and (self.top_k or self.top_p < 1):
            raise ValueError("top_k and top_p are for drawing words: set temperature above 0")
        if not isinstance(self.prefix, str):
            raise ValueError(f"prefix must be text, got {self.prefix!r}")
        if isinstance(self.banned_words, str):
            raise ValueError(f"banned_words must be a list of words, got {self.banned_words!r}")
        object.__setattr__(self, "banned_words", tuple(self.banned_words))
